package work

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
)

// The names of what is compared beside the library itself.
const (
	ByHand        = "Bun by hand"
	ByHandAtOnce  = "Bun by hand, databases at once"
	ByHandInOrder = "Bun by hand, one after the other"
)

// bulk is one of fifty tables that look alike.
type bulk struct {
	bun.BaseModel `bun:"table:bulk,alias:b"`

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:"type:varchar(80),notnull"`
}

func bulkName(i int) string { return fmt.Sprintf("bulk_%d", i) }

// bulkTables are the same as echobun's tables.
func bulkTables(n int) []any {
	var tables []any
	for _, bind := range []string{echobun.DefaultBind, "blog", "log"} {
		for i := range n {
			tables = append(tables, &echobun.Table{
				Name: bulkName(i), BindKey: bind,
				Columns: []echobun.Column{
					{Name: "id", Type: echobun.BigInteger, PrimaryKey: true, AutoIncrement: true},
					{Name: "name", Type: echobun.String(80), NotNull: true},
				},
			})
		}
	}
	return tables
}

// CreateAll measures the making of fifty tables on each of three databases.
func (e *Env) CreateAll(ctx context.Context, set data.Set) (groups []Group, err error) {
	n := 50
	if e.Quick {
		n = 2
	}
	ext, err := echobun.New(echobun.Config{
		DatabaseURI: set.Main.URL,
		Binds:       echobun.Binds{"blog": {URL: set.Blog.URL}, "log": {URL: set.Log.URL}},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ext.Close()) }()
	if err := ext.Register(bulkTables(n)...); err != nil {
		return nil, err
	}
	ctx, end := ext.AppContext(ctx)
	defer end()
	dbs, err := openBuns(set)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeBuns(dbs)) }()

	drop := func() error { return ext.DropAll(ctx) }
	g, err := e.group(CreateAll, set.Name, e.plan(10, 1, 0), []measure.Case{
		{Name: peer.Echobun, Before: drop, Run: func(int) error { return ext.CreateAll(ctx) }},
		{Name: ByHandAtOnce, Before: drop, Run: func(int) error { return createAtOnce(ctx, dbs, n) }},
		{Name: ByHandInOrder, Before: drop, Run: func(int) error {
			return errors.Join(createTables(ctx, dbs[0], n), createTables(ctx, dbs[1], n), createTables(ctx, dbs[2], n))
		}},
	})
	return []Group{g}, errors.Join(err, drop())
}

func createAtOnce(ctx context.Context, dbs []*bun.DB, n int) error {
	errs := make([]error, len(dbs))
	var wg sync.WaitGroup
	for i, db := range dbs {
		wg.Go(func() { errs[i] = createTables(ctx, db, n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// createTables is written after https://bun.uptrace.dev/guide/query-create-table.html.
func createTables(ctx context.Context, db *bun.DB, n int) error {
	for i := range n {
		_, err := db.NewCreateTable().Model((*bulk)(nil)).ModelTableExpr("?", bun.Ident(bulkName(i))).IfNotExists().Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

func openBuns(set data.Set) ([]*bun.DB, error) {
	var dbs []*bun.DB
	for _, d := range set.All() {
		pool, err := d.Open(d.TunedDSN())
		if err != nil {
			return dbs, errors.Join(err, closeBuns(dbs))
		}
		dbs = append(dbs, d.Kind.Bun(pool))
	}
	return dbs, nil
}

func closeBuns(dbs []*bun.DB) error {
	var errs []error
	for _, db := range dbs {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}
