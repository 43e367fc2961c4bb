package echobun_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

type regUser struct {
	bun.BaseModel `bun:"table:users"`
	authModel
	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

type regOtherUser struct {
	bun.BaseModel `bun:"table:users"`
	authModel
	ID int64 `bun:",pk,autoincrement"`
}

type regDefaultUser struct {
	bun.BaseModel `bun:"table:users"`
	ID            int64 `bun:",pk,autoincrement"`
}

type regNowhere struct {
	ID int64 `bun:",pk"`
}

func (regNowhere) BindKey() string { return "archive" }

type regBadName struct {
	bun.BaseModel `bun:"table:users;--"`
	ID            int64 `bun:",pk"`
}

type regEmptySchema struct {
	bun.BaseModel `bun:"table:.users"`
	ID            int64 `bun:",pk"`
}

type regEmptyTable struct {
	bun.BaseModel `bun:"table:auth."`
	ID            int64 `bun:",pk"`
}

type regBadColumn struct {
	ID int64 `bun:"id-number,pk"`
}

type regBadRelation struct {
	ID     int64           `bun:",pk"`
	UserID int64           `bun:"user_id"`
	User   *regDefaultUser `bun:"rel:belongs-to,join:nothing=id"`
}

type regUnknownRelation struct {
	ID   int64           `bun:",pk"`
	User *regDefaultUser `bun:"rel:friend"`
}

type regAmbiguousRelation struct {
	ID      int64         `bun:",pk"`
	OtherID int64         `bun:"other_id"`
	Other   *keyAmbiguous `bun:"rel:belongs-to,join:other_id=id"`
}

type regLeft struct {
	authModel
	ID     int64       `bun:",pk"`
	Rights []*regRight `bun:"m2m:reg_pairs,join:Left=Right"`
}

type regRight struct {
	authModel
	ID int64 `bun:",pk"`
}

type regPair struct {
	bun.BaseModel `bun:"table:reg_pairs"`
	metaModel
	LeftID  int64     `bun:",pk"`
	Left    *regLeft  `bun:"rel:belongs-to,join:left_id=id"`
	RightID int64     `bun:",pk"`
	Right   *regRight `bun:"rel:belongs-to,join:right_id=id"`
}

type notAStruct int

// modelErrors returns the *ModelErrors that are joined in err.
func modelErrors(t *testing.T, err error) []*echobun.ModelError {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok, "%T is no joined error", err)
	var all []*echobun.ModelError
	for _, e := range joined.Unwrap() {
		var modelErr *echobun.ModelError
		require.ErrorAs(t, e, &modelErr)
		all = append(all, modelErr)
	}
	return all
}

// requireNothing asserts that x knows of nothing.
func requireNothing(t *testing.T, x *echobun.Extension, hooks map[string]*sentHook) {
	t.Helper()
	for key, metadata := range x.Metadatas() {
		require.Empty(t, metadata.Tables(), "bind %q", key)
	}
	ctx, _ := newSession(t, x)
	for _, h := range hooks {
		h.take()
	}
	require.NoError(t, x.CreateAll(ctx))
	for key, h := range hooks {
		for _, sent := range h.take() {
			require.NotContains(t, strings.ToUpper(sent), "CREATE", "bind %q", key)
		}
	}
}

func TestRegisterFaults(t *testing.T) {
	t.Parallel()
	users := &echobun.Table{Name: "users", BindKey: "auth", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer}}}
	child := func(bind, references string) *echobun.Table {
		return &echobun.Table{Name: "children", BindKey: bind, Columns: []echobun.Column{
			{Name: "id", Type: echobun.BigInteger, PrimaryKey: true},
			{Name: "user_id", Type: echobun.BigInteger, References: references},
		}}
	}
	for _, tc := range []struct {
		name   string
		models []any
		model  string
		bind   string
		text   []string
	}{
		{"bind without an engine", []any{(*regNowhere)(nil)}, "echobun_test.regNowhere", "archive", []string{
			`no engine for bind "archive"`, "Config.Binds", `default bind, bind "auth", bind "meta"`,
		}},
		{"two models with one table", []any{(*regUser)(nil), (*regOtherUser)(nil)}, "echobun_test.regOtherUser", "auth", []string{
			`table "users" on bind "auth" is also that of echobun_test.regUser`, "rename one of them",
		}},
		{"a model and a Table with one table", []any{users, (*regUser)(nil)}, "echobun_test.regUser", "auth", []string{
			`table "users" on bind "auth" is also that of users`, "move it to another bind",
		}},
		{"two Tables with one name", []any{users, &echobun.Table{Name: "USERS", BindKey: "auth", Columns: users.Columns}}, "USERS", "auth", []string{
			`table "USERS" on bind "auth" is also that of users`,
		}},
		{"not a struct", []any{new(notAStruct)}, "*echobun_test.notAStruct", "", []string{"not a struct", "(*T)(nil)"}},
		{"a string", []any{"users"}, "string", "", []string{"not a model", "(*T)(nil)", "*Table"}},
		{"nil", []any{nil}, "<nil>", "", []string{"not a model"}},
		{"a slice", []any{[]regUser{}}, "[]echobun_test.regUser", "", []string{"not a model", "(*T)(nil)"}},
		{"a pointer to a slice", []any{&[]regUser{}}, "*[]echobun_test.regUser", "", []string{"not a struct"}},
		{"two pointers", []any{new(*regUser)}, "**echobun_test.regUser", "", []string{"not a struct"}},
		{"a map", []any{&map[string]any{}}, "*map[string]interface {}", "", []string{"not a struct"}},
		{"a Table by value", []any{*users}, "echobun.Table", "", []string{"*Table"}},
		{"no Table", []any{(*echobun.Table)(nil)}, "*Table", "", []string{"nil"}},
		{"ambiguous bind key", []any{(*keyAmbiguous)(nil)}, "echobun_test.keyAmbiguous", "", []string{"ambiguous", "authModel", "metaModel"}},
		{"a BindKey that panics", []any{(*keyPanics)(nil)}, "echobun_test.keyPanics", "", []string{"panics", "no key today"}},
		{"a table name that is none", []any{(*regBadName)(nil)}, "echobun_test.regBadName", "", []string{`table name "users;--"`, "only letters"}},
		{"the empty schema", []any{(*regEmptySchema)(nil)}, "echobun_test.regEmptySchema", "", []string{"schema without a name"}},
		{"a schema without a table", []any{(*regEmptyTable)(nil)}, "echobun_test.regEmptyTable", "", []string{"table without a name"}},
		{"a column name that is none", []any{(*regBadColumn)(nil)}, "echobun_test.regBadColumn", "", []string{`column name "id-number"`}},
		{"a relation by a column that is not there", []any{(*regBadRelation)(nil)}, "echobun_test.regBadRelation", "", []string{"nothing"}},
		{"a relation of no kind", []any{(*regUnknownRelation)(nil)}, "echobun_test.regUnknownRelation", "", []string{"unknown relation=friend"}},
		{"a relation to an ambiguous model", []any{(*regAmbiguousRelation)(nil)}, "echobun_test.regAmbiguousRelation", "", []string{
			"relation Other", "ambiguous",
		}},
		{"a reference to another bind", []any{(*regUser)(nil), child("meta", "users.id")}, "children", "meta", []string{
			`column "user_id"`, `"users.id"`, `on bind "auth" and not on bind "meta"`, "cannot leave its database",
		}},
		{"a reference to a Table of another bind", []any{child("", "users.id"), users}, "children", "", []string{
			`on bind "auth" and not on default bind`,
		}},
		{"a many-to-many table on another bind", []any{(*regLeft)(nil), (*regRight)(nil), (*regPair)(nil)}, "echobun_test.regLeft", "auth", []string{
			`"reg_pairs" is on bind "meta" and not on bind "auth"`, "on one bind",
		}},
		{"a many-to-many table without a model", []any{(*regLeft)(nil), (*regRight)(nil)}, "echobun_test.regLeft", "auth", []string{
			`"reg_pairs" has no model on bind "auth"`, "register that model too",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg, hooks := sqliteBinds(t, "auth", "meta")
			x := newExtension(t, cfg)
			err := x.Register(append(tc.models, (*keyNone)(nil))...) // The last is in order.
			faults := modelErrors(t, err)
			require.Len(t, faults, 1, "%v", err)
			require.Equal(t, tc.model, faults[0].Model)
			require.Equal(t, tc.bind, faults[0].Bind)
			for _, text := range append(tc.text, strings.TrimPrefix(tc.model, "*")) {
				require.ErrorContains(t, err, text)
			}
			requireNothing(t, x, hooks)
		})
	}
}

func TestRegisterFaultIsUnknownBind(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth")
	x := newExtension(t, cfg)
	table := &echobun.Table{Name: "t", BindKey: "archive", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer}}}
	for _, model := range []any{(*regNowhere)(nil), table} {
		var unknown *echobun.UnknownBindError
		require.ErrorAs(t, x.Register(model), &unknown)
		require.Equal(t, &echobun.UnknownBindError{Key: "archive", Known: []string{"", "auth"}}, unknown)
	}

	noDefault := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}}})
	err := noDefault.Register((*regDefaultUser)(nil))
	var unknown *echobun.UnknownBindError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, echobun.DefaultBind, unknown.Key)
	require.ErrorContains(t, err, "Config.DatabaseURI")
	require.ErrorContains(t, err, "give the model a BindKey")
}

// TestRegisterJoinsFaults makes several mistakes at once, then none.
func TestRegisterJoinsFaults(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t, "auth", "meta")
	x := newExtension(t, cfg)
	err := x.Register((*regNowhere)(nil), (*regUser)(nil), (*regOtherUser)(nil), "users", (*keyAmbiguous)(nil),
		&echobun.Table{BindKey: "nowhere"}, (*regBadRelation)(nil), (*regBadRelation)(nil), (*regLeft)(nil), (*regPair)(nil))
	faults := make(map[string]int)
	for _, fault := range modelErrors(t, err) {
		faults[fault.Model]++
	}
	require.Equal(t, map[string]int{
		"echobun_test.regNowhere": 1, "echobun_test.regOtherUser": 1, "string": 1, "echobun_test.keyAmbiguous": 1,
		"":                            3, // No name, no columns, no engine.
		"echobun_test.regBadRelation": 1, "echobun_test.regLeft": 1,
	}, faults)
	requireNothing(t, x, hooks)

	require.NoError(t, x.Register((*regUser)(nil), (*regDefaultUser)(nil)), "the good ones are free to be registered")
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	_, err = db.NewInsert().Model(&regUser{}).Exec(ctx)
	require.NoError(t, err)

	err = x.Register((*regOtherUser)(nil))
	require.ErrorContains(t, err, `its table "users" is registered on bind "auth" already, as echobun_test.regUser`)
	require.Len(t, x.Metadatas()["auth"].Tables(), 1)
}

func TestRegisterAgain(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth", "meta")
	table := &echobun.Table{Name: "t", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer}}}
	x := newExtension(t, cfg, append(libraryModels(), table, table, (*regUser)(nil), &regUser{}, regUser{})...)
	count := func() (n int) {
		for _, metadata := range x.Metadatas() {
			n += len(metadata.Tables())
		}
		return n
	}
	require.Equal(t, len(libraryModels())+2, count())

	copied, ok := x.Metadata().Table("t")
	require.True(t, ok)
	require.NoError(t, x.Register(append(libraryModels(), table, copied, (*regUser)(nil), (*regDefaultUser)(nil))...))
	require.Equal(t, len(libraryModels())+3, count())
	require.NoError(t, x.Register())
}

// TestRegisterSharedDialect gives two extensions one *bun.DB: their Tables of
// one shape must not be taken for each other.
func TestRegisterSharedDialect(t *testing.T) {
	t.Parallel()
	own := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)}).Engine()
	cfg := echobun.Config{EngineOptions: echobun.EngineOptions{DB: own}}
	one, two := auditLog(""), auditLog("")
	one.Name, two.Name = "one", "two"
	one.Columns, two.Columns = one.Columns[:1], two.Columns[:1]
	one.Indexes, two.Indexes = nil, nil
	first, second := newExtension(t, cfg, one), newExtension(t, cfg, two)
	for _, x := range []*echobun.Extension{first, second} {
		ctx, _ := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
	}
	ctx, _ := newSession(t, first)
	require.Equal(t, []string{"id"}, columnNames(ctx, t, own, "one"))
	require.Equal(t, []string{"id"}, columnNames(ctx, t, own, "two"))
}

// generatedModels returns n model types, each with a table of its own. They
// differ in size: Bun's registry finds types of one size one after the other.
func generatedModels(n int) []any {
	models := make([]any, n)
	for i := range models {
		t := reflect.StructOf([]reflect.StructField{
			{
				Name: "BaseModel", Anonymous: true, Type: reflect.TypeFor[bun.BaseModel](),
				Tag: reflect.StructTag(fmt.Sprintf(`bun:"table:generated_%d"`, i)),
			},
			{Name: "ID", Type: reflect.TypeFor[int64](), Tag: `bun:",pk"`},
			{Name: "Pad", Type: reflect.ArrayOf(i, reflect.TypeFor[int64]()), Tag: `bun:"-"`},
		})
		models[i] = reflect.Zero(reflect.PointerTo(t)).Interface()
	}
	return models
}

// TestRegisterManyModels asserts that the cost of registering models does
// not grow with their square, neither at once nor one by one.
func TestRegisterManyModels(t *testing.T) {
	t.Parallel()
	models := generatedModels(2000)
	took := func(models []any, step int) time.Duration {
		x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})
		start := time.Now()
		for i := 0; i < len(models); i += step {
			require.NoError(t, x.Register(models[i:i+step]...))
		}
		require.Len(t, x.Metadata().Tables(), len(models))
		return time.Since(start)
	}
	for _, step := range []int{1, 200} {
		few := took(models[:200], step)
		many := took(models, step)
		require.Less(t, many, 30*few+2*time.Second, "10 times as many models, %d at once: %v after %v", step, many, few)
	}
}

// TestRegisterErrorText pins what a person reads.
func TestRegisterErrorText(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth")
	x := newExtension(t, cfg)
	err := x.Register((*regNowhere)(nil))
	require.EqualError(t, err, `echobun: model echobun_test.regNowhere on bind "archive": echobun: no engine for bind "archive": `+
		`add it to Config.Binds (known: default bind, bind "auth")`)
	var modelErr *echobun.ModelError
	require.True(t, errors.As(err, &modelErr))
}
