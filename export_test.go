package echobun

// PoolCounters returns how many calls, held connections and waiters the pool
// of a bind counts.
func (x *Extension) PoolCounters(key string) [3]int64 {
	p := &x.engines[key].pool
	return [3]int64{p.calls.Load(), p.held.Load(), p.waiters.Load()}
}
