package replication

// Wedge makes the broker's stream refuse everything, as a full disk does.
func (b *Broker) Wedge() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.srv.DisableJetStream()
}
