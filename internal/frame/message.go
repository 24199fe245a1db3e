package frame

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of a Message: which of them is set says what the message is.
const (
	Request  protowire.Number = 2
	Response protowire.Number = 3
	Hello    protowire.Number = 4

	fieldMessages protowire.Number = 1 // of a Frame
	fieldID       protowire.Number = 1 // of a Message
)

var errFrame = errors.New("malformed frame")

// Overhead is the most that framing adds to a body.
const Overhead = 32

// Append appends a Message as an element of Frame.messages.
func Append(b []byte, id uint64, field protowire.Number, body []byte) []byte {
	size := protowire.SizeTag(field) + protowire.SizeBytes(len(body))
	if id != 0 {
		size += protowire.SizeTag(fieldID) + protowire.SizeVarint(id)
	}
	b = protowire.AppendTag(b, fieldMessages, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	if id != 0 {
		b = protowire.AppendTag(b, fieldID, protowire.VarintType)
		b = protowire.AppendVarint(b, id)
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, body)
}

// Message is one message of a frame; Body lies in the frame.
type Message struct {
	ID    uint64
	Field protowire.Number // Request, Response, Hello; 0 for none that is known
	Body  []byte
}

// Cut calls each with every message of a frame, in order, until it fails.
func Cut(frame []byte, each func(Message) error) error {
	for len(frame) > 0 {
		field, value, rest, err := nextField(frame)
		if err != nil {
			return err
		}
		frame = rest
		if field != fieldMessages {
			continue
		}
		m, err := parseMessage(value)
		if err != nil {
			return err
		}
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

func parseMessage(b []byte) (m Message, err error) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return m, errFrame
		}
		if num == fieldID && typ == protowire.VarintType {
			id, k := protowire.ConsumeVarint(b[n:])
			if k < 0 {
				return m, errFrame
			}
			m.ID, b = id, b[n+k:]
			continue
		}
		field, value, rest, err := nextField(b)
		if err != nil {
			return m, err
		}
		if field == Request || field == Response || field == Hello {
			m.Field, m.Body = field, value
		}
		b = rest
	}
	return m, nil
}

// nextField takes a field off b; value is nil unless it is of type bytes.
func nextField(b []byte) (field protowire.Number, value, rest []byte, err error) {
	field, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, nil, nil, errFrame
	}
	if typ != protowire.BytesType {
		k := protowire.ConsumeFieldValue(field, typ, b[n:])
		if k < 0 {
			return 0, nil, nil, errFrame
		}
		return 0, nil, b[n+k:], nil
	}
	value, k := protowire.ConsumeBytes(b[n:])
	if k < 0 {
		return 0, nil, nil, errFrame
	}
	return field, value, b[n+k:], nil
}
