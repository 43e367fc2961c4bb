package rowlock_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/rowlock"
)

// A numbers is a driver whose only query counts to three. It watches its rows.
type numbers struct{ watch *rowlock.Watch }

func open(t *testing.T) *sql.DB {
	t.Helper()
	db := sql.OpenDB(connector{})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

type connector struct{}

func (connector) Connect(context.Context) (driver.Conn, error) {
	return numbers{new(rowlock.Watch)}, nil
}
func (connector) Driver() driver.Driver { return nil }

func (numbers) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (n numbers) Begin() (driver.Tx, error)         { return n, nil }
func (numbers) Commit() error                       { return nil }
func (numbers) Rollback() error                     { return nil }
func (n numbers) Close() error                      { n.watch.Stop(); return nil }
func (n numbers) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	n.watch.Begins(ctx)
	return &counted{numbers: n}, nil
}

type counted struct {
	numbers
	n int64
}

func (*counted) Columns() []string { return []string{"n"} }
func (r *counted) Close() error    { r.watch.Rests(); return nil }
func (r *counted) Next(row []driver.Value) error {
	r.watch.Reads()
	defer r.watch.Gives()
	if r.n == 3 {
		return io.EOF
	}
	r.n++
	row[0] = r.n
	return nil
}

// A scanner is read by what it does.
type scanner func()

func (s *scanner) Scan(any) error { (*s)(); return nil }

func scans(do func()) *scanner { return (*scanner)(&do) }

var errBug = errors.New("a bug")

// ways are ways to leave a Scan.
var ways = map[string]func(){
	"panic":   func() { panic(errBug) },
	"runtime": func() { var f func(); f() },
	"Goexit":  runtime.Goexit,
	"deep":    func() { deep(200, func() { panic(errBug) }) },
}

// deep calls f so deep that the stack is not shown whole.
func deep(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
	runtime.KeepAlive(n)
}

// inTime runs do, whatever comes of it, in a goroutine that has to end.
func inTime(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		do()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it hangs")
	}
}

// requireFree requires that nobody holds the connection.
func requireFree(t *testing.T, db *sql.DB) {
	t.Helper()
	require.Eventually(t, func() bool { return db.Stats().InUse == 0 }, 3*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var n int
	require.NoError(t, db.QueryRowContext(ctx, "").Scan(&n))
}

func TestWhoLeavesAScanIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, leave := range ways {
		if name == "deep" {
			continue
		}
		for kind, read := range map[string]func(ctx context.Context, db *sql.DB){
			"row": func(ctx context.Context, db *sql.DB) { _ = db.QueryRowContext(ctx, "").Scan(scans(leave)) },
			"rows that are closed": func(ctx context.Context, db *sql.DB) {
				rows, err := db.QueryContext(ctx, "") //nolint:rowserrcheck // It does not come so far.
				require.NoError(t, err)
				defer rows.Close()
				for rows.Next() {
					_ = rows.Scan(scans(leave))
				}
			},
			"transaction": func(ctx context.Context, db *sql.DB) {
				tx, err := db.BeginTx(ctx, nil)
				require.NoError(t, err)
				defer func() { _ = tx.Rollback() }()
				rows, err := tx.QueryContext(ctx, "") //nolint:sqlclosecheck,rowserrcheck // The end of the transaction closes them.
				require.NoError(t, err)
				rows.Next()
				_ = rows.Scan(scans(leave))
			},
			"recovered": func(ctx context.Context, db *sql.DB) {
				rows, err := db.QueryContext(ctx, "") //nolint:rowserrcheck,sqlclosecheck // It is not clear to the linter who closes them.
				require.NoError(t, err)
				defer rows.Close()
				for rows.Next() { // As often as there are rows: the lock is held as often.
					inTime(t, func() { _ = rows.Scan(scans(leave)) })
				}
			},
			"context's end": func(ctx context.Context, db *sql.DB) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				rows, err := db.QueryContext(ctx, "") //nolint:sqlclosecheck,rowserrcheck // That closes them.
				require.NoError(t, err)
				require.True(t, rows.Next())
				inTime(t, func() { _ = rows.Scan(scans(leave)) })
				cancel()
				for rows.Next() { // As of Go 1.27 it does not wait for who closes them.
					time.Sleep(10 * time.Millisecond)
				}
			},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				db := open(t)
				inTime(t, func() { read(t.Context(), db) })
				requireFree(t, db)
			})
		}
	}
}

// TestPanicGoesOn is about who recovers it, where the stack is not shown whole too.
func TestPanicGoesOn(t *testing.T) {
	t.Parallel()
	db := open(t)
	require.PanicsWithError(t, errBug.Error(), func() { _ = db.QueryRowContext(t.Context(), "").Scan(scans(ways["panic"])) })
	require.PanicsWithError(t, errBug.Error(), func() {
		deep(200, func() { _ = db.QueryRowContext(t.Context(), "").Scan(scans(ways["panic"])) })
	})
	requireFree(t, db)
}

// TestManyGoroutinesAreNotStopped has the end of a context be waited for where a
// look would take long.
func TestManyGoroutinesAreNotStopped(t *testing.T) { //nolint:paralleltest // It counts goroutines.
	stop := make(chan struct{})
	defer close(stop)
	for range 2 * rowlock.Few {
		go func() { <-stop }()
	}
	db := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	inTime(t, func() {
		defer func() {
			if ctx.Err() == nil {
				t.Error("it was looked at while its context had time")
			}
		}()
		_ = db.QueryRowContext(ctx, "").Scan(scans(ways["panic"]))
	})
	requireFree(t, db)
}

// TestScansThatTakeTheirTime must not lose their lock: they give it back
// themselves, and to give it back twice ends the process.
func TestScansThatTakeTheirTime(t *testing.T) {
	t.Parallel()
	slow := func() { time.Sleep(600 * time.Millisecond) }
	for name, scan := range map[string]func(){
		"slow": slow,
		"deep": func() { deep(200, slow) },
		"with a panic of its own": func() {
			defer func() { _ = recover(); slow() }()
			panic(errBug)
		},
		"with other rows": func() {
			other := sql.OpenDB(connector{})
			defer other.Close()
			_ = other.QueryRowContext(context.Background(), "").Scan(scans(slow))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			rows, err := db.QueryContext(ctx, "")
			require.NoError(t, err)
			defer rows.Close()
			require.True(t, rows.Next())
			require.NoError(t, rows.Scan(scans(scan)))
			require.False(t, rows.Next())
			require.ErrorIs(t, rows.Err(), context.DeadlineExceeded)
			requireFree(t, db)
		})
	}
}

// TestRawBytesKeepTheirRows keeps memory of a row's behind the end of its context.
func TestRawBytesKeepTheirRows(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	rows, err := db.QueryContext(ctx, "")
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	var raw sql.RawBytes
	require.NoError(t, rows.Scan(&raw))
	time.Sleep(600 * time.Millisecond)
	require.Equal(t, "1", string(raw))
	require.Equal(t, 1, db.Stats().InUse)
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), context.DeadlineExceeded)
	requireFree(t, db)
}

// TestWatchCostsNoAllocation gives many rows out.
func TestWatchCostsNoAllocation(t *testing.T) { //nolint:paralleltest // Others would allocate meanwhile.
	w := new(rowlock.Watch)
	defer w.Stop()
	w.Gives()
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() { w.Begins(ctx); w.Reads(); w.Gives(); w.Rests() }))
}
