package echobun_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/wire"
)

// makeReadOnly has n connections of the default bind refuse writes, as those
// to a server do that has been demoted.
func makeReadOnly(ctx context.Context, t *testing.T, x *echobun.Extension, n int) {
	t.Helper()
	ctx = wire.WithOwnSession(ctx) // Else they would not be used again for that reason.
	var conns []bun.Conn
	for range n {
		conn, err := x.Engine().Conn(ctx)
		require.NoError(t, err)
		_, err = conn.ExecContext(ctx, map[string]string{
			"pg": "SET default_transaction_read_only = on", "mysql": "SET SESSION TRANSACTION READ ONLY", "sqlite": "PRAGMA query_only = on",
		}[x.Engine().Dialect().Name().String()])
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
}

// A refusal to write reaches one request: the connections that were open are
// not used again, by whatever way it came.
func TestDemotion(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*Debit)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		n := 0
		insert := func(ctx context.Context, s *echobun.Session) error {
			n++
			_, err := s.NewInsert().Model(&Debit{Name: strconv.Itoa(n)}).Exec(ctx)
			return err
		}
		for name, write := range map[string]func() error{
			"insert": func() error { return insert(ctx, s) },
			"transaction": func() error {
				return s.RunInTx(ctx, nil, insert)
			},
			"prepared": func() error {
				stmt, err := x.Engine().PrepareContext(ctx, "DELETE FROM debits WHERE name = 'nobody'")
				if err != nil {
					return err
				}
				defer stmt.Close()
				_, err = stmt.ExecContext(ctx)
				return err
			},
		} {
			makeReadOnly(ctx, t, x, 4)
			require.ErrorIs(t, write(), echobun.ErrReadOnly, name)
			for range 8 {
				require.NoError(t, insert(ctx, s), name)
			}
		}
		requireAtRest(t, x)
	})
}

// What a transaction refuses that was begun to read says nothing of the server.
func TestNoDemotion(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*Debit)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		occupy(t, x.Engine(), 4)()
		err := s.RunInTx(ctx, &echobun.TxOptions{ReadOnly: true}, func(ctx context.Context, tx *echobun.Session) error {
			_, err := tx.NewInsert().Model(&Debit{Name: "x"}).Exec(ctx)
			return err
		})
		require.ErrorIs(t, err, echobun.ErrReadOnly)
		require.Equal(t, 4, x.Engine().Stats().OpenConnections)
	})
}
