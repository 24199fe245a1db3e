package frame

import "slices"

// Outbox is the queue of messages for one stream, kept as the frames in which
// they will travel: a frame fills while those before it are sent. Its owner's
// lock guards it. Make one with NewOutbox.
type Outbox struct {
	codec  *Codec
	limits Limits
	frames []gathering // the last one still fills
	bytes  int         // of all frames
	taken  uint64      // the newest id that was handed to the stream
}

// Limits are those of an Outbox.
type Limits struct {
	Queue    int // bytes of all frames
	Frame    int // bytes of one frame, unless a single message is larger
	Messages int // of one frame
}

// gathering is a frame in the queue.
type gathering struct {
	buf   *[]byte
	count int
	last  uint64 // the newest id in it
}

// NewOutbox makes an empty queue.
func NewOutbox(c *Codec, l Limits) Outbox { return Outbox{codec: c, limits: l} }

// Fits says whether a body of so many bytes may be put. One message is always
// taken by an empty queue.
func (o *Outbox) Fits(size int) bool {
	return o.bytes == 0 || o.bytes+size+Overhead <= o.limits.Queue
}

// Bytes is how many wait.
func (o *Outbox) Bytes() int { return o.bytes }

// Taken is the newest id that was handed to the stream. It means anything only
// if the ids that are put grow.
func (o *Outbox) Taken() uint64 { return o.taken }

// Put appends a message.
func (o *Outbox) Put(m Message) {
	size := len(m.Body) + Overhead
	last := len(o.frames) - 1
	if last < 0 || o.frames[last].count >= o.limits.Messages || len(*o.frames[last].buf)+size > o.limits.Frame {
		o.frames = append(o.frames, gathering{buf: o.codec.Get(0)})
		last++
	}
	f := &o.frames[last]
	before := len(*f.buf)
	*f.buf = Append(*f.buf, m)
	f.count++
	f.last = m.ID
	o.bytes += len(*f.buf) - before
}

// Take removes the oldest frame; nil if there is none.
func (o *Outbox) Take() *Out {
	if len(o.frames) == 0 {
		return nil
	}
	f := o.frames[0]
	if len(o.frames) == 1 {
		o.frames = o.frames[:0]
	} else {
		o.frames = o.frames[1:]
	}
	o.bytes -= len(*f.buf)
	o.taken = f.last
	return &Out{f.buf}
}

// Drop removes a message that was not taken, and reports whether there was one. It
// means anything only if the ids that are put grow.
func (o *Outbox) Drop(id uint64) bool {
	if id <= o.taken {
		return false // as most are that are given up, since they were answered
	}
	i := slices.IndexFunc(o.frames, func(f gathering) bool { return f.last >= id })
	if i < 0 {
		return false
	}
	f := &o.frames[i]
	for rest := *f.buf; len(rest) > 0; {
		_, value, after, err := nextField(rest)
		if err != nil {
			return false // frames that were put are well formed
		}
		if m, err := parseMessage(value); err == nil && m.ID == id {
			from, to := len(*f.buf)-len(rest), len(*f.buf)-len(after)
			*f.buf = slices.Delete(*f.buf, from, to)
			f.count--
			o.bytes -= to - from
			if f.count == 0 {
				o.codec.Put(f.buf)
				o.frames = slices.Delete(o.frames, i, i+1)
			}
			return true
		}
		rest = after
	}
	return false
}

// Clear drops everything that was not taken.
func (o *Outbox) Clear() {
	for _, f := range o.frames {
		o.codec.Put(f.buf)
	}
	o.frames, o.bytes = nil, 0
}
