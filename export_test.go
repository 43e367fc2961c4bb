package echobun

import "context"

// PoolCounters returns how many calls, held connections and waiters the pool
// of a bind counts.
func (x *Extension) PoolCounters(key string) [3]int64 {
	p := &x.engines[key].pool
	return [3]int64{p.calls.Load(), p.held.Load(), p.waiters.Load()}
}

// RefusalLife is how long it is remembered that no server listens.
const RefusalLife = refusalLife

// CommitLogDDL is what an operator runs.
const CommitLogDDL = commitLogDDL

// LogHome is how IDs name a bind's log.
func (x *Extension) LogHome(key string) string { return x.engines[key].commits.home() }

// XID returns the ID of a branch.
func XID(app, tx, home, bind string) string {
	return xid{app: shortName(app), tx: tx, home: shortName(home) + "@12345678", bind: shortName(bind)}.String()
}

// NewTxID returns the name of a new transaction.
var NewTxID = newTxID

// AppShortName is how IDs name the extension's application.
func (x *Extension) AppShortName() string { return x.app }

// DebugBytes returns what the debug page says that its requests take.
func (x *Extension) DebugBytes() int {
	_, size, _ := x.debug.newest()
	return size
}

// DebugRoom returns how many statements the debug page remembers, and how many
// it has memory for.
func (x *Extension) DebugRoom() (statements, room int) {
	requests, _, _ := x.debug.newest()
	for i := range requests {
		statements, room = statements+len(requests[i].records), room+cap(requests[i].records)
	}
	return statements, room
}

// DebugRequests returns how many requests the debug page remembers.
func (x *Extension) DebugRequests() int {
	requests, _, _ := x.debug.newest()
	return len(requests)
}

// LateBranch finds the part of the session's transaction on a bind, as a
// statement does, and returns what begins it.
func LateBranch(s *Session, bind string) (begin func(context.Context) error, err error) {
	b, err := s.level.find(s.app.x.engines[bind])
	return func(ctx context.Context) error { return b.ready(ctx, s.level) }, err
}

// IsStandard reports whether a function is the standard library's.
var IsStandard = isStandard
