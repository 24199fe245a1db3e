package frame

import (
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of a Message: which of them is set says what the message is.
const (
	Request  protowire.Number = 2
	Response protowire.Number = 3
	Hello    protowire.Number = 4

	fieldMessages protowire.Number = 1 // of a Frame
	fieldID       protowire.Number = 1 // of a Message
	fieldSent     protowire.Number = 5
)

var errFrame = errors.New("malformed frame")

// Overhead is the most that framing adds to a body.
const Overhead = 32

// Flow control windows of connections that carry frames, in bytes: what may be on
// its way to a reader that is slow. gRPC would measure what a connection can bear by
// pinging the other side for as long as data arrive, once a round trip, which many
// small frames make as dear as the frames themselves.
const (
	StreamWindow = 4 << 20
	ConnWindow   = 16 << 20
)

// Append appends a Message as an element of Frame.messages.
func Append(b []byte, m Message) []byte {
	size := protowire.SizeTag(m.Field) + protowire.SizeBytes(len(m.Body))
	if m.ID != 0 {
		size += protowire.SizeTag(fieldID) + protowire.SizeVarint(m.ID)
	}
	if m.Sent != 0 {
		size += protowire.SizeTag(fieldSent) + protowire.SizeVarint(m.Sent)
	}
	b = protowire.AppendTag(b, fieldMessages, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	if m.ID != 0 {
		b = protowire.AppendTag(b, fieldID, protowire.VarintType)
		b = protowire.AppendVarint(b, m.ID)
	}
	if m.Sent != 0 {
		b = protowire.AppendTag(b, fieldSent, protowire.VarintType)
		b = protowire.AppendVarint(b, m.Sent)
	}
	b = protowire.AppendTag(b, m.Field, protowire.BytesType)
	return protowire.AppendBytes(b, m.Body)
}

// Message is one message of a frame; Body lies in the frame.
type Message struct {
	ID    uint64
	Field protowire.Number // Request, Response, Hello; 0 for none that is known
	Body  []byte
	Sent  uint64    // milliseconds, see PipelineMessage.sent_ms; 0 where it is not told
	At    time.Time // when it was sent, by the clock of the reader, where that can tell; it does not travel
	Came  time.Time // when it arrived; it does not travel
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
		if (num == fieldID || num == fieldSent) && typ == protowire.VarintType {
			v, k := protowire.ConsumeVarint(b[n:])
			if k < 0 {
				return m, errFrame
			}
			if num == fieldID {
				m.ID = v
			} else {
				m.Sent = v
			}
			b = b[n+k:]
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
