package storage

// turnsEach is how many changes a processor works out in turns: one may wait for
// the disk while another is computed.
const turnsEach = 2

// turn locks the replica for a change, and waits until the change may be worked
// out; the caller ends it with done. Only so many are at the same time: were
// hundreds of goroutines ready to run, each would get the processors in its turn,
// and so would those which read what comes in, refuse what is too much, and tell
// others that this node lives. A turn is never waited for by who has one, since
// whoever has one has the lock of the one replica that it changes.
func (r *Replica) turn() {
	r.mu.Lock()
	r.store.turns <- struct{}{}
}

func (r *Replica) done() {
	<-r.store.turns
	r.mu.Unlock()
}
