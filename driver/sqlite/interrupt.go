package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"reflect"
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A handle is SQLite's own connection behind one of modernc.org/sqlite, for
// the calls that modernc.org/sqlite has no method for.
//
// Without them, a query is not interrupted between two rows, a cancelled
// statement that was done is reported as not done, a wait for the lock of
// another process goes on after its context has ended, and outside of WAL mode
// a transaction that has read waits for one that waits for its end.
type handle struct {
	db  uintptr
	tls *libc.TLS
}

// handleOf looks into the connection. It is nil where a later version keeps
// the handle elsewhere: then the context goes to modernc.org/sqlite, with the
// faults above.
func handleOf(c sqldriver.Conn) *handle {
	v := reflect.Indirect(reflect.ValueOf(c))
	if v.Kind() != reflect.Struct {
		return nil
	}
	field := v.FieldByName("db")
	if !field.IsValid() || field.Kind() != reflect.Uintptr || field.Uint() == 0 {
		return nil
	}
	return &handle{db: uintptr(field.Uint()), tls: libc.NewTLS()}
}

func (h *handle) close() {
	if h != nil {
		h.tls.Close()
	}
}

// waitForLocks sets how many milliseconds SQLite itself waits for a lock. No
// statement may be running.
func (h *handle) waitForLocks(ms int) {
	sqlite3.Xsqlite3_busy_timeout(h.tls, h.db, int32(ms))
}

// reading reports whether the connection has the lock of a reader: its
// transaction, or rows that are open, have read the file. Which statements do
// so, their texts do not say: a SAVEPOINT and a SELECT 1 do not.
func (h *handle) reading() bool {
	return h != nil && sqlite3.Xsqlite3_txn_state(h.tls, h.db, mainSchema) == sqlite3.SQLITE_TXN_READ
}

// mainSchema is "main", as C has its texts. It is never freed.
var mainSchema = func() uintptr {
	name, err := libc.CString("main")
	if err != nil {
		panic(err)
	}
	return name
}()

// An interrupter stops what a connection is doing when a context ends.
type interrupter struct {
	handle *handle

	mu      sync.Mutex // Held while interrupting, so that nothing later is hit. Protects running.
	running *watch
}

// A watch ties statements to a context. A nil one watches nothing.
type watch struct {
	in   *interrupter
	stop func() bool
	err  error // Of the context that ended. Guarded by in.mu.
}

// watch starts to watch ctx, in the place of w if that is not nil. The watch
// must be closed.
func (in *interrupter) watch(ctx context.Context, w *watch) *watch {
	if in.handle == nil || ctx.Done() == nil {
		return nil
	}
	if w == nil {
		w = new(watch)
	}
	w.in = in
	w.stop = context.AfterFunc(ctx, func() { w.fire(ctx.Err()) })
	return w
}

func (w *watch) fire(err error) {
	w.in.mu.Lock()
	defer w.in.mu.Unlock()
	w.err = err
	if w.in.running == w {
		sqlite3.Xsqlite3_interrupt(w.in.handle.tls, w.in.handle.db)
	}
}

// enter comes before a call into SQLite, and fails if the context has ended.
func (w *watch) enter() error {
	if w == nil {
		return nil
	}
	w.in.mu.Lock()
	defer w.in.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.in.running = w
	return nil
}

// leave comes after the call and takes its error. A call that was done before
// the interrupt reached it keeps its result.
func (w *watch) leave(err error) error {
	if w == nil {
		return err
	}
	w.in.mu.Lock()
	defer w.in.mu.Unlock()
	w.in.running = nil
	if w.err != nil && codeOf(err) == sqlite3.SQLITE_INTERRUPT {
		return fmt.Errorf("sqlite: interrupted: %w", w.err)
	}
	return err
}

func (w *watch) close() {
	if w != nil {
		w.stop()
	}
}

// inner is the context for modernc.org/sqlite: its own way of interrupting,
// which costs a goroutine, is not needed beside a watch.
func (in *interrupter) inner(ctx context.Context) context.Context {
	if in.handle == nil || ctx.Done() == nil {
		return ctx
	}
	return background
}

var background = context.Background()
