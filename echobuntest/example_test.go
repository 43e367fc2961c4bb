package echobuntest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/echobuntest"
)

// User is on the bind "auth".
type User struct {
	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull,unique"`
}

// BindKey implements echobun.BindKeyer.
func (User) BindKey() string { return "auth" }

// exampleT stands for the [testing.T] of a test.
type exampleT struct {
	testing.TB

	cleanup []func()
}

func (t *exampleT) Helper()                           {}
func (t *exampleT) Context() context.Context          { return context.Background() }
func (t *exampleT) Cleanup(f func())                  { t.cleanup = append(t.cleanup, f) }
func (t *exampleT) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// end does what the end of a test does.
func (t *exampleT) end() {
	for len(t.cleanup) > 0 {
		last := len(t.cleanup) - 1
		f := t.cleanup[last]
		t.cleanup = t.cleanup[:last]
		f()
	}
}

// addUser is what is tested: it commits.
func addUser(ctx context.Context, ext *echobun.Extension, name string) {
	ctx, end := ext.AppContext(ctx)
	defer end()
	db, err := ext.Session(ctx)
	if err != nil {
		panic(err)
	}
	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		_, err := tx.NewInsert().Model(&User{Name: name}).Exec(ctx)
		return err
	})
	if err != nil {
		panic(err)
	}
}

func countUsers(ctx context.Context, ext *echobun.Extension) int64 {
	ctx, end := ext.AppContext(ctx)
	defer end()
	db, err := ext.Session(ctx)
	if err != nil {
		panic(err)
	}
	n, err := db.NewSelect().Model((*User)(nil)).Count(ctx)
	if err != nil {
		panic(err)
	}
	return n
}

// Rows that a test writes are there until it ends, whoever reads them.
func Example() {
	ctx := context.Background()
	suite := &exampleT{}
	defer suite.end()
	cfg := echobun.Config{Binds: echobun.Binds{"auth": {URL: "postgresql://app@db/auth"}}}
	ext := echobuntest.New(suite, cfg, (*User)(nil))

	for _, name := range []string{"gopher", "bun"} {
		t := &exampleT{}
		echobuntest.Isolate(t, ext)
		addUser(ctx, ext, name)
		fmt.Println("in the test of", name, "there is", countUsers(ctx, ext))
		t.end()
	}
	fmt.Println("after them there are", countUsers(ctx, ext))
	// Output:
	// in the test of gopher there is 1
	// in the test of bun there is 1
	// after them there are 0
}
