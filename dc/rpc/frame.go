package rpc

import (
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of godwit.peer.v1.Frame and Message. Frames are put together
// and taken apart by hand: a message is encoded once, by its sender's
// goroutine, straight into the frame that gathers; and what arrives is cut into
// messages that are decoded where they are needed.
const (
	fieldMessages = 1 // of Frame

	fieldID       = 1 // of Message
	fieldRequest  = 2
	fieldResponse = 3
	fieldHello    = 4
)

var errFrame = errors.New("malformed frame")

// frameCodec is gRPC's codec for frames: *outFrame on the way out, *inFrame on
// the way in. It owns the buffers, which come back when gRPC has sent them.
type frameCodec struct {
	buffers sync.Pool // *[]byte: frames that gather
	scratch sync.Pool // *[]byte: one encoded body
}

// outFrame is a frame to be sent; the codec takes its buffer over.
type outFrame struct{ buf *[]byte }

// inFrame is a frame that arrived; data is its own.
type inFrame struct{ data []byte }

const (
	smallBuffer = 4 << 10
	keepBuffer  = 2 << 20 // a buffer that grew larger is not kept
)

// Get implements mem.BufferPool.
func (c *frameCodec) Get(length int) *[]byte {
	if b, ok := c.buffers.Get().(*[]byte); ok && cap(*b) >= length {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, max(length, smallBuffer))
	return &b
}

// Put implements mem.BufferPool.
func (c *frameCodec) Put(b *[]byte) {
	if cap(*b) <= keepBuffer {
		c.buffers.Put(b)
	}
}

// Marshal implements encoding.CodecV2.
func (c *frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*outFrame)
	if !ok {
		return nil, fmt.Errorf("frame codec cannot encode %T", v)
	}
	return mem.BufferSlice{mem.NewBuffer(f.buf, c)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (c *frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*inFrame)
	if !ok {
		return fmt.Errorf("frame codec cannot decode %T", v)
	}
	f.data = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2: on the wire a frame is plain protobuf.
func (c *frameCodec) Name() string { return "proto" }

// encode returns a body in a buffer to be given back with done.
func (c *frameCodec) encode(m proto.Message) (*[]byte, error) {
	b, ok := c.scratch.Get().(*[]byte)
	if !ok {
		b = new([]byte)
	}
	var err error
	*b, err = proto.MarshalOptions{}.MarshalAppend((*b)[:0], m)
	return b, err
}

func (c *frameCodec) done(b *[]byte) {
	if cap(*b) <= keepBuffer {
		c.scratch.Put(b)
	}
}

// helloFrame is a frame of one hello.
func (c *frameCodec) helloFrame(m proto.Message) (*outFrame, error) {
	body, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	buf := c.Get(0)
	*buf = appendMessage(*buf, 0, fieldHello, body)
	return &outFrame{buf}, nil
}

// appendMessage appends a Message as an element of Frame.messages.
func appendMessage(b []byte, id uint64, field protowire.Number, body []byte) []byte {
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

// message is one message of a frame; body lies in the frame.
type message struct {
	id    uint64
	field protowire.Number // fieldRequest, fieldResponse, fieldHello; 0 for none that is known
	body  []byte
}

// cut calls each with every message of a frame, in order, until it fails.
func cut(frame []byte, each func(message) error) error {
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

func parseMessage(b []byte) (m message, err error) {
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
			m.id, b = id, b[n+k:]
			continue
		}
		field, value, rest, err := nextField(b)
		if err != nil {
			return m, err
		}
		if field == fieldRequest || field == fieldResponse || field == fieldHello {
			m.field, m.body = field, value
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
