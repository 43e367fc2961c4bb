package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// pooledRow is a row that a client of a pooler has written.
type pooledRow struct {
	ID     int64 `bun:",pk,autoincrement"`
	Client int   `bun:",notnull,unique:client_serial"`
	Serial int   `bun:",notnull,unique:client_serial"`
}

// localRow is on the bind "auth", which is no PostgreSQL.
type localRow struct {
	authModel

	Client int `bun:",pk"`
	Serial int `bun:",pk"`
}

const pooledClients = 8

// Behind PgBouncer in transaction mode, where each transaction may get another
// session, everything works with the defaults.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	pooler := dbtest.PgBouncer(t, dbtest.Postgres(t))
	x := newExtension(t, echobun.Config{
		DatabaseURI: pooler.URL(), Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}}, AppName: pooler.Database,
	}, (*pooledRow)(nil), (*localRow)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, x.CreateAll(ctx), "and again")

	p := &poolerLoad{x: x, db: db, transactions: times(2000, 10_000)}
	before := identities(ctx, t, x)
	begun := time.Now()
	p.run(ctx, t)
	took := time.Since(begun)
	require.Empty(t, p.failures)

	rows, err := db.NewSelect().Model((*pooledRow)(nil)).Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, p.transactions, rows, "rows of acknowledged transactions")
	local, err := db.NewSelect().Model((*localRow)(nil)).Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, p.twoPhase.Load(), local)
	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, "recovered: nothing", report.String())

	requireAtRest(t, x)
	require.Subset(t, before, identities(ctx, t, x), "no connection was given up")
	t.Logf("%d transactions of %d clients in %v, %d in two phases, %d statements outside of one, 0 errors",
		p.transactions, pooledClients, took.Round(time.Millisecond), p.twoPhase.Load(), p.outside.Load())
	require.NoError(t, x.DropAll(ctx))
}

// identities returns as many connections of the pool as there are clients.
func identities(ctx context.Context, t *testing.T, x *echobun.Extension) (all []any) {
	t.Helper()
	var held []bun.Conn
	for range pooledClients {
		conn, err := x.Engine().Conn(ctx)
		require.NoError(t, err)
		require.NoError(t, conn.Raw(func(dc any) error { all = append(all, fmt.Sprintf("%p", dc)); return nil }))
		held = append(held, conn)
	}
	for _, conn := range held {
		require.NoError(t, conn.Close())
	}
	return all
}

// A poolerLoad is what the clients do.
type poolerLoad struct {
	x            *echobun.Extension
	db           *echobun.Session
	transactions int

	next, twoPhase, outside atomic.Int64

	mu       sync.Mutex // Protects failures.
	failures []string
}

func (p *poolerLoad) run(ctx context.Context, t *testing.T) {
	t.Helper()
	var clients sync.WaitGroup
	for client := range pooledClients {
		clients.Go(func() {
			for {
				serial := int(p.next.Add(1))
				if serial > p.transactions {
					return
				}
				if err := p.one(ctx, client, serial); err != nil {
					p.mu.Lock()
					p.failures = append(p.failures, fmt.Sprintf("client %d, transaction %d: %v", client, serial, err))
					p.mu.Unlock()
				}
			}
		})
	}
	clients.Wait()
}

// one is a transaction, with a statement outside of one before it.
func (p *poolerLoad) one(ctx context.Context, client, serial int) error {
	var n int
	if err := p.db.NewSelect().Model((*pooledRow)(nil)).ColumnExpr("count(*)").
		Where("client = ?", client).Where("serial = ?", serial).Scan(ctx, &n); err != nil || n != 0 {
		return errors.Join(err, fmt.Errorf("%d rows beforehand", n))
	}
	p.outside.Add(1)
	opts := &echobun.TxOptions{TwoPhase: serial%50 == 0}
	if opts.TwoPhase {
		p.twoPhase.Add(1)
	}
	return p.db.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
		row := &pooledRow{Client: client, Serial: serial}
		if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
			return err
		}
		if opts.TwoPhase {
			if _, err := tx.NewInsert().Model(&localRow{Client: client, Serial: serial}).Exec(ctx); err != nil {
				return err
			}
		}
		if err := p.nested(ctx, tx, row); err != nil {
			return err
		}
		return p.read(ctx, tx, row)
	})
}

// nested is a savepoint that is rolled back, and every second time one that is kept.
func (p *poolerLoad) nested(ctx context.Context, tx *echobun.Session, row *pooledRow) error {
	err := tx.RunInTx(ctx, nil, func(ctx context.Context, inner *echobun.Session) error {
		_, err := inner.NewInsert().Model(&pooledRow{Client: row.Client, Serial: row.Serial}).Exec(ctx)
		return err
	})
	if !errors.Is(err, echobun.ErrUnique) {
		return fmt.Errorf("a second row: %w", err)
	}
	if rand.IntN(2) == 0 {
		return nil
	}
	return tx.RunInTx(ctx, nil, func(ctx context.Context, inner *echobun.Session) error {
		_, err := inner.NewUpdate().Model(row).Set("serial = serial").WherePK().Exec(ctx)
		return err
	})
}

// read finds its own row, with text and arguments of all kinds.
func (p *poolerLoad) read(ctx context.Context, tx *echobun.Session, row *pooledRow) error {
	var serial int
	var text string
	err := tx.NewSelect().Model((*pooledRow)(nil)).Column("serial").ColumnExpr("?", `it's a "\ `+strconv.Itoa(row.Serial)).
		Where("id = ?", row.ID).Scan(ctx, &serial, &text)
	if err == nil && (serial != row.Serial || text != `it's a "\ `+strconv.Itoa(row.Serial)) {
		err = fmt.Errorf("read %d, %q of %d", serial, text, row.Serial)
	}
	return err
}
