package echobun_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// On an engine of the user's own, a bare DeadlineExceeded is the driver's, and
// says nothing of the server.
func TestOwnEngineIsNotLostForBeingSlow(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	db, err := sql.Open("mysql", server.User+":"+server.Password+"@tcp("+server.Addr()+")/"+server.Database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: bun.NewDB(db, mysqldialect.New())}})
	ctx, s := newSession(t, x)
	require.NoError(t, db.PingContext(ctx))
	limited, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	err = ran(s.NewRaw("SELECT SLEEP(2)").Exec(limited))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, echobun.ErrUnavailable)
	require.ErrorContains(t, err, "default bind")
}
