//go:build failpoint

package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	_ "github.com/echobun/echobun/driver/sqlite"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/failpoint"
)

// childVariable makes the test binary a child, and holds its orders.
const childVariable = "ECHOBUN_CRASH_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := child(text); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dbtest.Main(m)
}

// Row is what a transaction writes on the default bind, RowAuth and RowMeta on
// the others.
type Row struct {
	bun.BaseModel `bun:"table:crash_rows"`

	ID string `bun:"type:varchar(40),pk"`
}

type RowAuth struct {
	bun.BaseModel `bun:"table:crash_rows"`

	ID string `bun:"type:varchar(40),pk"`
}

func (RowAuth) BindKey() string { return "auth" }

type RowMeta struct {
	bun.BaseModel `bun:"table:crash_rows"`

	ID string `bun:"type:varchar(40),pk"`
}

func (RowMeta) BindKey() string { return "meta" }

// rows are a row of each bind.
var rows = map[string]func(id string) any{
	"":     func(id string) any { return &Row{ID: id} },
	"auth": func(id string) any { return &RowAuth{ID: id} },
	"meta": func(id string) any { return &RowMeta{ID: id} },
}

// A variant is the order in which a transaction uses binds, and commits them.
type variant struct {
	Binds   []string
	Order   []string
	Refused bool // SQLite, which decides, refuses at its COMMIT.
}

func (v variant) String() string {
	return fmt.Sprintf("%q by %q", v.Binds, v.Order)
}

// orders are what a child has to do.
type orders struct {
	URLs    map[string]string
	Prefix  string // Of the rows' ids.
	Variant variant
	Clients int      // Goroutines that work until the child is killed.
	Step    string   // Where it kills itself, "prepared#2" for the second time; or
	Steps   bool     // it lists the steps of one transaction.
	Nth     int      // In which transaction it kills itself.
	Pauses  []string // Where it says so, and waits a while.
	Recover bool     // Steps are those of one recovery.
}

// pause is how long a child waits at one of its pauses.
const pause = time.Second

func openAll(urls map[string]string) (*echobun.Extension, error) {
	cfg := echobun.Config{
		AppName: "crashtest", Binds: echobun.Binds{}, Defaults: echobun.EngineOptions{MaxOpenConns: 20},
		Logger: slog.New(slog.DiscardHandler),
	}
	for key, url := range urls {
		cfg.Binds[key] = echobun.EngineOptions{URL: url}
	}
	x, err := echobun.New(cfg)
	if err != nil {
		return nil, err
	}
	return x, x.Register((*Row)(nil), (*RowAuth)(nil), (*RowMeta)(nil))
}

// child runs transactions until it is killed.
func child(text string) error {
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	x, err := openAll(o.URLs)
	if err != nil {
		return err
	}
	if o.Recover {
		o.watch(new(int))
		_, err := x.RecoverPrepared(context.Background())
		return err
	}
	ctx, end := x.AppContext(context.Background())
	defer end()
	s, err := x.Session(ctx)
	if err != nil {
		return err
	}
	if o.Clients == 0 {
		return alone(ctx, s, o)
	}
	return together(ctx, s, o)
}

// together runs transactions of many clients.
func together(ctx context.Context, s *echobun.Session, o orders) error {
	// The instants begin when it is connected: opening so many connections at
	// once takes a busy machine longer than they last.
	for i := range 100 {
		id := o.Prefix + "first." + strconv.Itoa(i)
		if err := transact(ctx, s, o.Variant, id); err == nil {
			say("ack " + id)
			break
		}
	}
	var all sync.WaitGroup
	for c := range o.Clients {
		all.Go(func() {
			for i := range 1_000_000 {
				id := o.Prefix + strconv.Itoa(c) + "." + strconv.Itoa(i)
				if err := transact(ctx, s, o.Variant, id); err == nil {
					say("ack " + id)
				}
			}
		})
	}
	all.Wait()
	return nil
}

// alone runs transactions one after the other, and kills itself in one of them.
func alone(ctx context.Context, s *echobun.Session, o orders) error {
	var n int
	o.watch(&n)
	for n = range o.Nth + 1 {
		id := o.Prefix + strconv.Itoa(n)
		err := transact(ctx, s, o.Variant, id)
		switch {
		case o.Variant.Refused && err == nil:
			return errors.New("the commit of " + id + " should have been refused")
		case o.Variant.Refused:
			say("refused " + id)
		case err != nil:
			return err
		default:
			say("ack " + id)
		}
	}
	return nil
}

// watch has the child list its steps, pause or kill itself in transaction n.
func (o orders) watch(n *int) {
	seen := map[string]int{}
	failpoint.Set(func(step string) {
		if step == "begin" {
			clear(seen)
		}
		seen[step]++
		at := step + "#" + strconv.Itoa(seen[step])
		if o.Steps && *n == o.Nth {
			say("step " + at)
		}
		if *n == o.Nth && slices.Contains(o.Pauses, at) {
			say("pause " + at)
			time.Sleep(pause)
		}
		if at == o.Step && *n == o.Nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
}

// transact writes a row with that id on each bind of the variant.
func transact(ctx context.Context, s *echobun.Session, v variant, id string) error {
	opts := &echobun.TxOptions{TwoPhase: true, Order: v.Order}
	return s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
		for _, key := range v.Binds {
			if _, err := tx.NewInsert().Model(rows[key](id)).Exec(ctx); err != nil {
				return err
			}
		}
		if !v.Refused {
			return nil
		}
		_, err := tx.Bind("meta").NewRaw("INSERT INTO crash_orphans VALUES (1)").Exec(ctx)
		return err
	})
}

// say tells the parent, in one write.
func say(line string) { _, _ = os.Stdout.WriteString(line + "\n") }

// variants make each kind of database the coordinator, and have a decision
// stand in another log than a branch was begun for.
var variants = []variant{
	{Binds: []string{"", "auth", "meta"}},
	{Binds: []string{"auth", "meta", ""}},
	{Binds: []string{"meta", "auth", ""}},
	{Binds: []string{"", "auth"}},
	{Binds: []string{"auth", ""}},
	{Binds: []string{"auth", ""}, Order: []string{"", "auth"}},
	{Binds: []string{"", "auth"}, Order: []string{"auth"}},
}

// stepName returns a step without its number.
func stepName(at string) string { name, _, _ := strings.Cut(at, "#"); return name }
