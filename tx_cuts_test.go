package echobun_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// long reports whether the long form of the tests is wanted, which cuts 200
// connections where the short one cuts a few.
func long() bool { return os.Getenv("ECHOBUN_LONG") != "" }

func times(short, full int) int {
	if long() {
		return full
	}
	return short
}

// cutLimit is the commit limit of the tests that cut connections.
const cutLimit = 500 * time.Millisecond

// A cutBank has PostgreSQL on the default bind and MariaDB on "auth", each
// behind a proxy, and SQLite on "meta".
type cutBank struct {
	x, sound *echobun.Extension
	proxies  map[string]*cutproxy.Proxy
	log      *bytes.Buffer // Of sound, for one goroutine.
	app      string        // Of both: what is prepared on MariaDB is listed for the whole server.
}

func newCutBank(t *testing.T) *cutBank {
	t.Helper()
	pg, my := dbtest.Postgres(t), dbtest.MariaDB(t)
	b := &cutBank{proxies: map[string]*cutproxy.Proxy{"": cutproxy.New(t, pg.Addr()), "auth": cutproxy.New(t, my.Addr())}}
	b.log, b.app = new(bytes.Buffer), my.Database
	quiet := slog.New(slog.DiscardHandler)
	b.sound = newExtension(t, echobun.Config{
		DatabaseURI: pg.URL(), Binds: echobun.Binds{"auth": {URL: my.URL()}}, AppName: b.app,
		Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	}, (*Debit)(nil), (*Credit)(nil))
	ctx, _ := newSession(t, b.sound)
	require.NoError(t, b.sound.CreateAll(ctx))
	b.x = newExtension(t, echobun.Config{
		DatabaseURI: pg.URLVia(b.proxies[""].Addr()),
		Binds:       echobun.Binds{"auth": {URL: my.URLVia(b.proxies["auth"].Addr())}, "meta": {URL: sqliteURL(t)}},
		AppName:     b.app, Logger: quiet,
	}, (*Debit)(nil), (*Credit)(nil))
	makeOrphans(t, b.x.Engines()["meta"])
	return b
}

// transact inserts a row on both binds, the second in a nested transaction.
func transact(ctx context.Context, s *echobun.Session, opts *echobun.TxOptions, name string) error {
	return s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
		if _, err := tx.NewInsert().Model(&Debit{Name: name}).Exec(ctx); err != nil {
			return err
		}
		return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			if _, err := tx.NewInsert().Model(&Debit{Name: name + "'"}).Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewInsert().Model(&Credit{Name: name}).Exec(ctx)
			return err
		})
	})
}

// connect makes sure that a connection to each server is there.
func connect(ctx context.Context, t *testing.T, s *echobun.Session) {
	t.Helper()
	for _, bind := range []string{"", "auth"} {
		_, err := s.Bind(bind).NewRaw("SELECT 1").Exec(ctx)
		require.NoError(t, err)
	}
}

// counts returns how many rows of that name PostgreSQL and MariaDB have.
func (b *cutBank) counts(t *testing.T, name string) (debits, credits int) {
	t.Helper()
	ctx, end := b.sound.AppContext(context.Background())
	defer end()
	s, err := b.sound.Session(ctx)
	require.NoError(t, err)
	require.NoError(t, s.NewRaw("SELECT count(*) FROM debits WHERE name = ?", name).Scan(ctx, &debits))
	require.NoError(t, s.Bind("auth").NewRaw("SELECT count(*) FROM credits WHERE name = ?", name).Scan(ctx, &credits))
	return debits, credits
}

// cells are the messages that are cut, by bind.
var cells = []struct {
	bind, marker string
	twoPhase     bool
}{
	{"", "begin", false},
	{"", "insert", false},
	{"", "savepoint", false},
	{"", "commit\x00", false},
	{"auth", "start transaction", false},
	{"auth", "insert", false},
	{"auth", "savepoint", false},
	{"auth", "\x03commit", false},
	{"", "prepare transaction", true},
	{"", "commit\x00", true}, // PostgreSQL decides.
	{"", "commit prepared", true},
	{"auth", "xa start", true},
	{"auth", "xa end", true},
	{"auth", "xa prepare", true},
	{"auth", "xa commit", true},
}

// TestCutConnections cuts a connection at each word of a commit, and compares
// what was said with what is there.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	modes := map[string]cutproxy.Mode{"request": cutproxy.DropRequest, "reply": cutproxy.DropReply, "hang": cutproxy.HangReply}
	for _, cell := range cells {
		for mode, m := range modes {
			t.Run(fmt.Sprintf("%q %s %s two-phase %v", cell.bind, cell.marker, mode, cell.twoPhase), func(t *testing.T) {
				t.Parallel()
				b := newCutBank(t)
				opts := &echobun.TxOptions{CommitTimeout: cutLimit, TwoPhase: cell.twoPhase}
				if cell.marker == "prepare transaction" || cell.marker == "commit prepared" {
					opts.Order = []string{"auth"} // MariaDB decides, so PostgreSQL prepares.
				}
				ctx, s := newSession(t, b.x)
				require.NoError(t, transact(ctx, s, &echobun.TxOptions{TwoPhase: opts.TwoPhase, Order: opts.Order}, "warm"))
				for i := range times(3, 200) {
					name := fmt.Sprint("cut", i)
					connect(ctx, t, s) // What was cut before is not what is measured.
					b.proxies[cell.bind].Arm(m, cell.marker)
					start := time.Now()
					limited, cancel := context.WithTimeout(ctx, 3*cutLimit)
					err := transact(limited, s, opts, name)
					cancel()
					b.requireTruth(t, opts, cell.marker, name, err, time.Since(start))
				}
				require.Positive(t, b.proxies[cell.bind].Cuts())
			})
		}
	}
}

func (b *cutBank) requireTruth(t *testing.T, opts *echobun.TxOptions, marker, name string, err error, took time.Duration) {
	t.Helper()
	limit := cutLimit
	if marker == "begin" || marker == "start transaction" || marker == "xa start" || marker == "insert" {
		limit = 3*cutLimit + 500*time.Millisecond // The context's, and that of hanging up.
	}
	requireInTime(t, took, limit, err)
	requireAtRest(t, b.x)
	if opts.TwoPhase {
		b.recover(t, b.sound)
	}
	debits, credits := b.counts(t, name)
	require.LessOrEqual(t, debits, 1, "a duplicate")
	require.LessOrEqual(t, credits, 1, "a duplicate")
	if err == nil {
		require.Equal(t, [2]int{1, 1}, [2]int{debits, credits})
		return
	}
	var partial *echobun.CommitError
	switch {
	case opts.TwoPhase && (marker == "prepare transaction" || marker == "xa end" || marker == "xa prepare"):
		require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown, "nothing was decided")
		require.Equal(t, [2]int{}, [2]int{debits, credits}, "%v", err)
	case opts.TwoPhase:
		require.Equal(t, debits, credits, "%v", err)
		if !errors.Is(err, echobun.ErrOutcomeUnknown) {
			require.Zero(t, debits, "%v", err)
		}
	case errors.As(err, &partial):
		for _, key := range partial.Committed {
			require.Equal(t, 1, map[string]int{"": debits, "auth": credits}[key], "%v", err)
		}
		for _, key := range append(partial.Failed, partial.RolledBack...) {
			require.Zero(t, map[string]int{"": debits, "auth": credits}[key], "%v", err)
		}
	default:
		require.Equal(t, [2]int{}, [2]int{debits, credits}, "%v", err)
	}
	require.True(t, strings.Contains(err.Error(), "bind"), "%v", err)
}

// requireInTime requires that a commit has obeyed its limit.
func requireInTime(t *testing.T, took, limit time.Duration, err error) {
	t.Helper()
	late := 250 * time.Millisecond
	if !long() {
		late = 5 * time.Second // Other tests run at the same time.
	}
	require.Less(t, took, limit+late, "%v", err)
}

// prepared returns what is prepared on a bind, and not on the server's other databases.
func (b *cutBank) prepared(t *testing.T, key string) []string {
	t.Helper()
	return slices.DeleteFunc(preparedOn(t, b.sound, key), func(id string) bool { return !strings.Contains(id, "/"+b.app+"/") })
}

// recover recovers until nothing is in doubt.
func (b *cutBank) recover(t *testing.T, x *echobun.Extension) {
	t.Helper()
	require.Eventually(t, func() bool {
		report, err := x.RecoverPrepared(t.Context())
		return err == nil && len(report.InDoubt) == 0
	}, 10*time.Second, 20*time.Millisecond, b.log)
}
