package bridge

// Pool is what a pool of an extension counts beside database/sql's numbers.
type Pool struct {
	MaxIdle  int   // Connections kept when nobody uses them. Zero means no limit.
	Pending  int64 // Calls of sessions that wait for a connection.
	Timeouts int64 // Those that waited in vain, since New.
}

// poolOf is set by the root package.
var poolOf func(extension any, bind string) (Pool, bool)

// SetPoolOf is called by the root package, as [SetIsolate].
func SetPoolOf(f func(extension any, bind string) (Pool, bool)) bool {
	poolOf = f
	return true
}

// PoolOf returns what the pool of a bind of an *echobun.Extension counts, and
// false if that is an engine of the user's own.
func PoolOf(extension any, bind string) (Pool, bool) { return poolOf(extension, bind) }
