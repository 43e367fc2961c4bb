package echobun_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// endless is a query whose rows take longer than any deadline in a test.
func endless(db bun.IDB) string {
	switch db.Dialect().Name().String() {
	case "pg":
		return "SELECT generate_series(1, 1000000000)"
	case "mysql":
		return "SELECT seq FROM seq_1_to_1000000000"
	}
	return "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t"
}

// readAll reads them, as far as it gets.
func readAll(ctx context.Context, db bun.IDB) error {
	rows, err := db.QueryContext(ctx, endless(db))
	if err != nil {
		return errors.Join(errors.New("no rows"), err)
	}
	defer rows.Close()
	for rows.Next() {
		_ = rows
	}
	return rows.Err()
}

// A deadline that ends while rows are read names the bind, as one that ends
// before them does, whoever asks and however.
func TestDeadlineAmidRows(t *testing.T) {
	t.Parallel()
	ways := map[string]func(ctx context.Context, s *echobun.Session, x *echobun.Extension) error{
		"session": func(ctx context.Context, s *echobun.Session, _ *echobun.Extension) error {
			return readAll(ctx, s.Bind(""))
		},
		"builder": func(ctx context.Context, s *echobun.Session, _ *echobun.Extension) error {
			return s.NewRaw(endless(s.Bind(""))).Scan(ctx, new([]int64))
		},
		"transaction": func(ctx context.Context, s *echobun.Session, _ *echobun.Extension) error {
			return s.RunInTx(context.WithoutCancel(ctx), nil, func(_ context.Context, tx *echobun.Session) error {
				return readAll(ctx, tx.Bind(""))
			})
		},
		"engine": func(ctx context.Context, _ *echobun.Session, x *echobun.Extension) error {
			return x.Engine().NewRaw(endless(x.Engine())).Scan(ctx, new([]int64))
		},
	}
	perDatabase(t, nil, func(t *testing.T, x *echobun.Extension) {
		appCtx, s := newSession(t, x)
		for name, way := range ways {
			require.NoError(t, x.Engine().PingContext(appCtx))
			ctx, cancel := context.WithTimeout(appCtx, 500*time.Millisecond)
			err := way(ctx, s, x)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
			var bindErr *echobun.BindError
			require.ErrorAs(t, err, &bindErr, "%s: %v", name, err)
			require.Equal(t, echobun.DefaultBind, bindErr.Bind, name)
			require.Equal(t, 1, strings.Count(err.Error(), "echobun: "), "%s: %v", name, err)
			require.NotErrorIs(t, err, echobun.ErrUnavailable, "%s: the server answers", name)
		}
		requireAtRest(t, x)
	})
}
