package storage

// Metrics are measurements of a store. Totals count since it was opened.
type Metrics struct {
	DiskBytes, LogBytes       uint64 // of the database, and of the event log in it before compression
	CacheBytes                uint64 // in use
	CacheHits, CacheMisses    uint64 // of blocks
	MemTableBytes             uint64
	WALBytes, WALWrittenBytes uint64 // of the log that is live, and all that was written to it
	Flushes, Compactions      uint64
	CompactionsFailed         uint64
	CompactionDebtBytes       uint64 // that compactions have yet to rewrite, as estimated
	ReadAmplification         uint64 // sorted runs that a read may have to look into
}

// Metrics measures the store; zero once it is closed.
func (s *Store) Metrics() Metrics {
	if s.enter() != nil {
		return Metrics{}
	}
	defer s.leave()
	m := s.db.Metrics()
	return Metrics{
		DiskBytes: m.DiskSpaceUsage(), LogBytes: uint64(max(s.LogBytes(), 0)),
		CacheBytes: uint64(max(m.BlockCache.Size, 0)), CacheHits: uint64(m.BlockCache.Hits), CacheMisses: uint64(m.BlockCache.Misses),
		MemTableBytes: m.MemTable.Size, WALBytes: m.WAL.Size, WALWrittenBytes: m.WAL.BytesWritten,
		Flushes: uint64(m.Flush.Count), Compactions: uint64(m.Compact.Count), CompactionsFailed: uint64(m.Compact.FailedCount),
		CompactionDebtBytes: m.Compact.EstimatedDebt, ReadAmplification: uint64(max(m.ReadAmp(), 0)),
	}
}
