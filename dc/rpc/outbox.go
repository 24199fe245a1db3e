package rpc

import "google.golang.org/protobuf/encoding/protowire"

// outbox is the queue of messages for one stream, kept as the frames in which
// they will travel: a frame fills while those before it are sent, so under load
// many messages share a frame, and without load none waits for company.
// Its owner's lock guards it.
type outbox struct {
	codec  *frameCodec
	limits outboxLimits
	frames []gathering // the last one still fills
	bytes  int         // of all frames
	taken  uint64      // the newest id that was handed to the stream
}

type outboxLimits struct {
	queue    int // bytes of all frames
	frame    int // bytes of one frame, unless a single message is larger
	messages int // of one frame
}

// gathering is a frame in the queue.
type gathering struct {
	buf   *[]byte
	count int
	last  uint64 // the newest id in it
}

// overhead is the most that framing adds to a body.
const overhead = 32

// fits says whether a body of so many bytes may be put. One message is always
// taken by an empty queue.
func (o *outbox) fits(size int) bool {
	return o.bytes == 0 || o.bytes+size+overhead <= o.limits.queue
}

// put appends a message. Ids of one outbox must grow if taken is to mean anything.
func (o *outbox) put(id uint64, field protowire.Number, body []byte) {
	size := len(body) + overhead
	last := len(o.frames) - 1
	if last < 0 || o.frames[last].count >= o.limits.messages || len(*o.frames[last].buf)+size > o.limits.frame {
		o.frames = append(o.frames, gathering{buf: o.codec.Get(0)})
		last++
	}
	f := &o.frames[last]
	before := len(*f.buf)
	*f.buf = appendMessage(*f.buf, id, field, body)
	f.count++
	f.last = id
	o.bytes += len(*f.buf) - before
}

// take removes the oldest frame; nil if there is none.
func (o *outbox) take() *outFrame {
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
	return &outFrame{f.buf}
}

// clear drops everything that was not taken.
func (o *outbox) clear() {
	for _, f := range o.frames {
		o.codec.Put(f.buf)
	}
	o.frames, o.bytes = nil, 0
}
