package sqlite_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver/sqlite"
)

// TestGatesAreForgotten: a program that opens ever new files must not grow.
// It is not parallel because it counts the gates of the process.
func TestGatesAreForgotten(t *testing.T) { //nolint:paralleltest // See above.
	before := sqlite.Gates()
	for range 100 {
		db := open(t, "sqlite://")
		run(t, db, "SELECT 1")
		require.NoError(t, db.Close())
	}
	deadline := time.Now().Add(10 * time.Second)
	for sqlite.Gates() > before+10 && time.Now().Before(deadline) {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	require.LessOrEqual(t, sqlite.Gates(), before+10)
}

func TestGateOfOneNameIsOne(t *testing.T) {
	t.Parallel()
	first := sqlite.GateOf("a test")
	runtime.GC()
	require.Same(t, first, sqlite.GateOf("a test"))
	require.NotSame(t, first, sqlite.GateOf("another test"))
}

// TestQueueSurvivesThoseWhoLeaveIt lets many give up at the moment when their
// turn comes.
func TestQueueSurvivesThoseWhoLeaveIt(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE x (id INTEGER)")
	for range 30 {
		end := hold(t, db)
		done := make(chan struct{}, 4)
		for range cap(done) {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				_, _ = db.ExecContext(ctx, "INSERT INTO x VALUES (1)")
				done <- struct{}{}
			}()
		}
		time.Sleep(time.Millisecond)
		end()
		for range cap(done) {
			<-done
		}
	}
	run(t, db, "INSERT INTO x VALUES (2)")
}
