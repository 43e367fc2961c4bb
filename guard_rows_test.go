package echobun_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/bridge"
)

// A mood is no model, and panics when it is read.
type mood string

func (*mood) Scan(any) error { panic(errTick) }

// panicking runs what panics, and returns that as an error.
func panicking(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if err, _ = p.(error); err == nil {
				err = fmt.Errorf("%v", p)
			}
		}
	}()
	return run()
}

// leftAfter is how long a read may take whose rows a panic or a Goexit leaves
// locked: with many goroutines around they are freed after their context's end.
const leftAfter = 300 * time.Millisecond

// destinations are reads into what is no model, each of which panics.
var destinations = map[string]func(ctx context.Context, db bun.IDB) error{
	"scanner": func(ctx context.Context, db bun.IDB) error {
		return db.NewRaw("SELECT name FROM clocks").Scan(ctx, new(mood))
	},
	"slice of scanners": func(ctx context.Context, db bun.IDB) error {
		return db.NewSelect().Table("clocks").Column("name").Scan(ctx, new([]mood))
	},
	"column of a model": func(ctx context.Context, db bun.IDB) error {
		return db.NewSelect().Model((*clock)(nil)).Column("id", "name").Scan(ctx, new(int64), new(mood))
	},
	"arrays": func(ctx context.Context, db bun.IDB) error { // Bun panics at them.
		return db.NewSelect().Model((*clock)(nil)).Column("name").Scan(ctx, new([][16]byte))
	},
	"values of the last time": func(ctx context.Context, db bun.IDB) error { // At these too.
		values := []any{"x", "y"}
		return db.NewRaw("SELECT name FROM clocks").Scan(ctx, &values)
	},
	"returned": func(ctx context.Context, db bun.IDB) error {
		_, err := db.NewInsert().Model(&[]clock{{Name: "b"}}).Returning("name").Exec(ctx, new([]mood))
		return err
	},
	"row": func(ctx context.Context, db bun.IDB) error {
		return db.QueryRowContext(ctx, "SELECT name FROM clocks").Scan(new(mood))
	},
	"rows": func(ctx context.Context, db bun.IDB) error {
		rows, err := db.QueryContext(ctx, "SELECT name FROM clocks")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(new(mood)); err != nil {
				return err
			}
		}
		return rows.Err()
	},
}

// TestDestinationsThatPanic reads them through every door. Database/sql leaves
// its rows locked then, and whoever closes them waiting.
func TestDestinationsThatPanic(t *testing.T) {
	t.Parallel()
	withTicks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		for name, read := range destinations {
			for door, through := range waysIn(ctx, t, x, db) {
				short, cancel := context.WithTimeout(ctx, leftAfter)
				err := inTime(t, func() error {
					return panicking(func() error { return through(func(db bun.IDB) error { return read(short, db) }) })
				})
				require.Error(t, err, "%s, %s", name, door)
				cancel()
				if name != "arrays" && name != "values of the last time" {
					require.ErrorIs(t, err, errTick, "%s, %s", name, door)
				}
				requireFree(ctx, t, x, db)
			}
		}
	})
}

// waysIn are the ways to a database. What is given to one has written before.
func waysIn(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) map[string]func(read func(bun.IDB) error) error {
	t.Helper()
	return map[string]func(read func(bun.IDB) error) error{
		"session": func(read func(bun.IDB) error) error { return touched(ctx, db.Bind(""), read) },
		"engine":  func(read func(bun.IDB) error) error { return touched(ctx, x.Engine(), read) },
		"transaction": func(read func(bun.IDB) error) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error { return touched(ctx, tx.Bind(""), read) })
		},
		"Bun's transaction": func(read func(bun.IDB) error) error {
			return x.Engine().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return touched(ctx, tx, read) })
		},
		"connection": func(read func(bun.IDB) error) error {
			conn, err := x.Engine().Conn(ctx)
			require.NoError(t, err)
			defer conn.Close()
			return touched(ctx, conn, read)
		},
	}
}

// TestRowsThatAPanicLeaves leaves rows open that only the end of their context,
// or of their transaction, closes.
func TestRowsThatAPanicLeaves(t *testing.T) {
	t.Parallel()
	withTicks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		leave := func(ctx context.Context, db bun.IDB) error {
			rows, err := db.QueryContext(ctx, "SELECT name FROM clocks") //nolint:sqlclosecheck,rowserrcheck // That is the point.
			require.NoError(t, err)
			require.True(t, rows.Next())
			return rows.Scan(new(mood))
		}
		require.ErrorIs(t, inTime(t, func() error {
			short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			return panicking(func() error { return leave(short, db.Bind("")) })
		}), errTick)
		requireFree(ctx, t, x, db)
		require.ErrorIs(t, inTime(t, func() error {
			return panicking(func() error {
				short, cancel := context.WithTimeout(ctx, leftAfter)
				defer cancel()
				return db.RunInTx(short, nil, func(ctx context.Context, tx *echobun.Session) error {
					return touched(ctx, tx.Bind(""), func(db bun.IDB) error { return leave(ctx, db) })
				})
			})
		}), errTick)
		requireFree(ctx, t, x, db)
	})
}

func TestDestinationsThatPanicInIsolation(t *testing.T) {
	t.Parallel()
	withTicks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		end, err := bridge.Isolate(x)
		require.NoError(t, err)
		for name, read := range destinations {
			require.Error(t, inTime(t, func() error {
				short, cancel := context.WithTimeout(ctx, leftAfter)
				defer cancel()
				return panicking(func() error {
					return db.RunInTx(short, nil, func(ctx context.Context, tx *echobun.Session) error { return read(ctx, tx.Bind("")) })
				})
			}), name)
			requireFree(ctx, t, x, db)
		}
		require.NoError(t, end())
	})
}
