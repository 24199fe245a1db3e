package frame

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Codec is gRPC's codec for frames: *Out on the way out, *In on the way in, and
// anything else as gRPC's own would do it. It owns the buffers, which come back
// when gRPC has sent them. The zero Codec is ready. Safe for concurrent use.
type Codec struct {
	buffers sync.Pool // *[]byte: frames that gather
	scratch sync.Pool // *[]byte: one encoded body
}

var _ encoding.CodecV2 = (*Codec)(nil)

// Out is a frame to be sent; the codec takes its buffer over.
type Out struct{ buf *[]byte }

// In is a frame that arrived; Data is its own.
type In struct{ Data []byte }

const (
	smallBuffer = 4 << 10
	keepBuffer  = 2 << 20 // a buffer that grew larger is not kept
)

// Get implements mem.BufferPool.
func (c *Codec) Get(length int) *[]byte {
	if b, ok := c.buffers.Get().(*[]byte); ok && cap(*b) >= length {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, max(length, smallBuffer))
	return &b
}

// Put implements mem.BufferPool.
func (c *Codec) Put(b *[]byte) {
	if cap(*b) <= keepBuffer {
		c.buffers.Put(b)
	}
}

// Marshal implements encoding.CodecV2.
func (c *Codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*Out); ok {
		return mem.BufferSlice{mem.NewBuffer(f.buf, c)}, nil
	}
	return own().Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c *Codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*In)
	if !ok {
		return own().Unmarshal(data, v)
	}
	f.Data = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2.
func (c *Codec) Name() string { return protocodec.Name }

// own is gRPC's codec for protobuf.
func own() encoding.CodecV2 { return encoding.GetCodecV2(protocodec.Name) }

// Encode returns a body in a buffer to be given back with Done.
func (c *Codec) Encode(m proto.Message) (*[]byte, error) {
	b, ok := c.scratch.Get().(*[]byte)
	if !ok {
		b = new([]byte)
	}
	var err error
	if *b, err = (proto.MarshalOptions{}).MarshalAppend((*b)[:0], m); err != nil {
		err = fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return b, err
}

// Done takes back what Encode gave.
func (c *Codec) Done(b *[]byte) {
	if cap(*b) <= keepBuffer {
		c.scratch.Put(b)
	}
}

// Heartbeat is a frame without messages.
func (c *Codec) Heartbeat() *Out { return &Out{c.Get(0)} }

// One is a frame of one message without an id.
func (c *Codec) One(field protowire.Number, m proto.Message) (*Out, error) {
	body, err := c.Encode(m)
	defer c.Done(body)
	if err != nil {
		return nil, err
	}
	buf := c.Get(0)
	*buf = Append(*buf, Message{Field: field, Body: *body})
	return &Out{buf}, nil
}
