package client

import (
	"slices"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Op is one change of one key, for Update and BatchUpdate, or of one field of a
// map, for MapOp: then Key is the name of the field. Kind and Bucket may be set
// after the constructor; empty, they follow from the operation and the client.
// An Op may be used more than once and by several goroutines.
type Op struct {
	Key    string
	Kind   Kind
	Bucket string

	name     string
	fill     func(*pb.UpdateRequest)
	movable  bool  // applying it twice changes nothing
	register bool  // ... unless the kind keeps siblings
	err      error // an *Error of the constructor, which the call returns
}

// PutOp assigns a register.
func PutOp(key string, value []byte) Op {
	return Op{Key: key, name: "Put", movable: true, register: true, fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_Assign{Assign: &pb.Assign{Value: value}}
	}}
}

// DeleteOp removes what the coordinating replica holds of the key.
func DeleteOp(key string) Op {
	return Op{Key: key, name: "Delete", fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_Remove{Remove: &pb.Remove{}}
	}}
}

// KeepOp ends a conflict of kinds: of what the coordinating replica holds of the
// key, everything of another kind is removed.
func KeepOp(key string, kind Kind) Op {
	return Op{Key: key, name: "Keep", fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_Keep{Keep: &pb.Keep{Kind: pb.Kind(kind)}}
	}}
}

// IncrOp adds n, which may be negative, to a counter of any kind.
func IncrOp(key string, n int64) Op {
	return Op{Key: key, name: "Incr", fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_CounterAdd{CounterAdd: &pb.CounterAdd{Delta: n}}
	}}
}

// ResetOp removes exactly the increments that the coordinating replica holds.
func ResetOp(key string) Op {
	return Op{Key: key, name: "Reset", fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_CounterReset{CounterReset: &pb.CounterReset{}}
	}}
}

// SAddOp adds elements to a set of any kind.
func SAddOp(key string, elements ...string) Op {
	return Op{Key: key, name: "SAdd", movable: true, fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_SetAdd{SetAdd: &pb.SetAdd{Elements: bytesOf(elements)}}
	}}
}

// SRemOp removes elements from a set or an rwset.
func SRemOp(key string, elements ...string) Op {
	return Op{Key: key, name: "SRem", movable: true, fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_SetRemove{SetRemove: &pb.SetRemove{Elements: bytesOf(elements)}}
	}}
}

// mayRepeat tells whether the update may be carried out at two nodes. With a
// context it may not: the second would not observe the first.
func (op *Op) mayRepeat(u *pb.UpdateRequest) bool {
	if op.register && u.GetKind() != pb.Kind_KIND_UNSPECIFIED && u.GetKind() != pb.Kind_KIND_REGISTER {
		return false
	}
	return op.movable && u.GetOptions().GetContext() == nil
}

// looksFirst tells whether the node that coordinates an update compares the key with
// other owners before it begins: where something is removed, or kept, without a
// context.
func looksFirst(u *pb.UpdateRequest) bool {
	if u.GetOptions().GetContext() != nil {
		return false
	}
	switch of := u.GetOp().(type) {
	case *pb.UpdateRequest_Remove, *pb.UpdateRequest_CounterReset, *pb.UpdateRequest_SetRemove, *pb.UpdateRequest_MapRemove,
		*pb.UpdateRequest_Zremove, *pb.UpdateRequest_Expire, *pb.UpdateRequest_Keep:
		return true
	case *pb.UpdateRequest_FlagSet:
		return !of.FlagSet.GetOn()
	case *pb.UpdateRequest_MapUpdate:
		if slices.ContainsFunc(of.MapUpdate.GetFields(), func(f *pb.FieldUpdate) bool { return looksFirst(f.GetUpdate()) }) {
			return true
		}
	}
	return u.GetKeepTtl()
}
