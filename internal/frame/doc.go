// Package frame owns the way in which many small messages share one stream of
// gRPC: frames that fill while the frame before them is being sent, so that under
// load many messages travel together, and without load none waits for company.
//
// It knows three things of a message: its id, whether it is a request, an answer
// or a hello, and its bytes. Frames are put together and taken apart by hand: a
// message is encoded once, by its sender's goroutine, straight into the frame
// that gathers; and what arrives is cut into messages that are decoded where they
// are needed. On the wire a frame is plain protobuf, as in godwit.peer.v1.Frame
// and godwit.v1.PipelineFrame.
package frame
