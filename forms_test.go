package echobun_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun"
)

// routedNote is on "auth", formPost on the default bind, and formHit on "meta".
type (
	routedNote struct {
		bun.BaseModel `bun:"table:notes"`
		authModel

		ID   int64 `bun:",pk,autoincrement"`
		Text string
	}
	formPost struct {
		bun.BaseModel `bun:"table:notes"`

		ID   int64 `bun:",pk,autoincrement"`
		Text string
	}
	formHit struct {
		bun.BaseModel `bun:"table:notes"`
		metaModel

		ID   int64 `bun:",pk,autoincrement"`
		Text string
	}
	formDiary struct { // On the bind of what it embeds.
		routedNote
	}
	formOther struct { // On "auth" too.
		bun.BaseModel `bun:"table:others"`
		authModel
		ID int64 `bun:",pk"`
	}
	formBox[T any] struct {
		bun.BaseModel `bun:"table:boxes"`
		authModel
		ID    int64 `bun:",pk"`
		Value T
	}
)

// Types that are made of others.
type (
	routedNotes    []routedNote
	routedNotePtrs []*routedNote
	formKeyed      []routedNote // Says what its elements say.
	formMisplaced  []routedNote // Says something else.
	formInterfaces []any
	formRow        map[string]any
	formRows       []map[string]any
	formKey        string
	formName       string // Has a bind of its own.
	formPointer    *formPointer
	formSlice      []formSlice
)

func (formKeyed) BindKey() string     { return "auth" }
func (formMisplaced) BindKey() string { return "meta" }
func (formName) BindKey() string      { return "auth" }

// formReader reads its rows itself, into where it says that it does.
type formReader struct{ dest any }

func (r *formReader) Value() any                                     { return r.dest }
func (*formReader) ScanRows(context.Context, *sql.Rows) (int, error) { return 0, nil }

// formKeyedReader says where it reads from.
type formKeyedReader struct {
	authModel
	formReader
}

// builtQuery is what Bun's builders have in common.
type builtQuery interface {
	schema.QueryAppender
	DB() *bun.DB
}

// buildersOf returns what begins with a model: the session's builders, and
// Bun's on the engines that For and NewValues give.
func buildersOf(db *echobun.Session) map[string]func(model any) builtQuery {
	return map[string]func(model any) builtQuery{
		"NewSelect":        func(model any) builtQuery { return db.NewSelect().Model(model) },
		"NewInsert":        func(model any) builtQuery { return db.NewInsert().Model(model) },
		"NewUpdate":        func(model any) builtQuery { return db.NewUpdate().Model(model) },
		"NewDelete":        func(model any) builtQuery { return db.NewDelete().Model(model) },
		"NewMerge":         func(model any) builtQuery { return db.NewMerge().Model(model) },
		"NewCreateTable":   func(model any) builtQuery { return db.NewCreateTable().Model(model) },
		"NewDropTable":     func(model any) builtQuery { return db.NewDropTable().Model(model) },
		"NewTruncateTable": func(model any) builtQuery { return db.NewTruncateTable().Model(model) },
		"NewAddColumn":     func(model any) builtQuery { return db.NewAddColumn().Model(model) },
		"NewDropColumn":    func(model any) builtQuery { return db.NewDropColumn().Model(model) },
		"NewCreateIndex":   func(model any) builtQuery { return db.NewCreateIndex().Model(model) },
		"NewValues":        func(model any) builtQuery { return db.NewValues(model) },
		"For":              func(model any) builtQuery { return db.For(model).NewSelect().TableExpr("notes") },
	}
}

// modelForms are all forms of value that Bun takes, and some that it does not:
// the bind, or why there is none.
func modelForms(engine *bun.DB) []struct {
	name  string
	model any
	bind  string
	err   string
} {
	note, when, row := new(routedNote), time.Time{}, map[string]any{}
	var (
		any1, nilAny      any               = note, nil
		keyer, nilKeyer   echobun.BindKeyer = note, nil
		typedNil          any               = (*routedNote)(nil)
		noForm            any               = new(chan int)
		pointer           formPointer
		notes, anyPointer = []routedNote{{}}, &any1
	)
	bunModel := func(model any) bun.Model { return engine.NewSelect().Model(model).GetModel() }

	const auth, meta = "auth", "meta"
	return []struct {
		name  string
		model any
		bind  string
		err   string
	}{
		// Structs, behind whatever Bun looks through.
		{"*T", note, auth, ""},
		{"(*T)(nil)", (*routedNote)(nil), auth, ""},
		{"T", routedNote{}, auth, ""},
		{"**T", &note, auth, ""},
		{"*[]T", &notes, auth, ""},
		{"*[]T, empty", new([]routedNote), auth, ""},
		{"(*[]T)(nil)", (*[]routedNote)(nil), auth, ""},
		{"*[]*T", &[]*routedNote{note}, auth, ""},
		{"*[]*T with a nil", &[]*routedNote{nil}, auth, ""},
		{"*[]**T", &[]**routedNote{&note}, auth, ""},
		{"[]T", notes, auth, ""},
		{"[]*T", []*routedNote{}, auth, ""},
		{"*[][]T", &[][]routedNote{}, auth, ""},
		{"*[2]T", new([2]routedNote), auth, ""},
		{"[2]*T", [2]*routedNote{}, auth, ""},
		{"named slice", &routedNotes{}, auth, ""},
		{"named slice of pointers", &routedNotePtrs{}, auth, ""},
		{"named slice with the same key", &formKeyed{}, auth, ""},
		{"named slice with another key", &formMisplaced{}, "", `BindKey says bind "meta", and its elements are on bind "auth"`},
		{"embedded", new(formDiary), auth, ""},
		{"generic", new(formBox[int]), auth, ""},
		{"slice of a generic", new([]*formBox[[]string]), auth, ""},
		{"of no bind", new(formPost), "", ""},
		{"of another bind", new([]formHit), meta, ""},
		{"without a name", &struct {
			authModel
			ID int64 `bun:",pk"`
		}{}, auth, ""},

		// Behind interfaces: the elements say.
		{"*[]any", &[]any{note}, auth, ""},
		{"*[]any of several", &[]any{note, new(routedNote)}, auth, ""},
		{"*[]any of no bind", &[]any{new(formPost)}, "", ""},
		{"*[]BindKeyer", &[]echobun.BindKeyer{note}, auth, ""},
		{"[]any", []any{note}, auth, ""},
		{"named slice of interfaces", &formInterfaces{note}, auth, ""},
		{"*[1]any", &[1]any{note}, auth, ""},
		{"*any", &any1, auth, ""},
		{"**any", &anyPointer, auth, ""},
		{"*BindKeyer", &keyer, auth, ""},
		{"*[]*any", &[]*any{&any1}, auth, ""},
		{"*[][]any", &[][]any{{note}, {note}}, auth, ""},
		{"two binds", &[]any{note, new(formPost)}, "", "index 1 is a *echobun_test.formPost, and those before are *echobun_test.routedNote"},
		{"two binds, default first", &[]any{new(formPost), note}, "", "index 1 is a *echobun_test.routedNote"},
		{"two binds behind BindKeyer", &[]echobun.BindKeyer{note, new(formHit)}, "", "give each model a query of its own"},
		{"two types of one bind", &[]any{note, new(formOther)}, "", "give each model a query of its own"},
		{"empty slice of interfaces", &[]any{}, "", "empty: without an element"},
		{"nil slice of interfaces", new([]echobun.BindKeyer), "", "empty: without an element"},
		{"nil pointer to a slice of interfaces", (*[]any)(nil), "", "nil: an interface has to hold a model"},
		{"empty array of interfaces", &[0]any{}, "", "empty: without an element"},
		{"slice with an empty one", &[][]any{{note}, {}}, "", "index 1: empty"},
		{"nil element", &[]any{note, nil}, "", "index 1: nil"},
		{"nil first element", &[]any{nil, note}, "", "index 0: nil"},
		{"typed nil element", &[]any{note, typedNil}, "", "index 1: a nil *echobun_test.routedNote"},
		{"nil in an interface", &nilAny, "", "nil: an interface has to hold a model"},
		{"nil in a BindKeyer", &nilKeyer, "", "nil: an interface has to hold a model"},
		{"typed nil in an interface", &typedNil, "", "a nil *echobun_test.routedNote"},
		{"nil", nil, "", "model nil"},
		{"nil BindKeyer", nilKeyer, "", "model nil"},
		{"T in an interface", &[]any{routedNote{}}, "", "a echobun_test.routedNote behind an interface: put pointers to structs there"},
		{"*T and T in interfaces", &[]any{note, routedNote{}}, "", "index 1: a echobun_test.routedNote behind an interface"},
		{"**T in an interface", &[]any{&note}, "", "put pointers to structs there"},
		{"*[]T in an interface", &[]any{&notes}, "", "put pointers to structs there"},
		{"map in an interface", &[]any{row}, "", "a map[string]interface {} behind an interface"},
		{"number in an interface", &[]any{1}, "", "a int behind an interface"},
		{"channel in an interface", &noForm, "", "put pointers to structs there"},
		{"Table in an interface", &[]any{new(echobun.Table)}, "", "a Table is no model"},

		// Bun's own models, as hooks get them, and those of an application.
		{"bun.Model of T", bunModel(note), auth, ""},
		{"bun.Model of []T", bunModel(&notes), auth, ""},
		{"bun.Model of no bind", bunModel(new([]*formPost)), "", ""},
		{"bun.Model of a map", bunModel(&row), "", ""},
		{"bun.Model of maps", bunModel(&[]map[string]any{}), "", ""},
		{"nil bun.Model", (*formReader)(nil), "", "a nil bun.Model"},
		{"reader of T", &formReader{note}, auth, ""},
		{"reader of a map", &formReader{&row}, "", ""},
		{"reader with a key", new(formKeyedReader), auth, ""},
		{"reader of nothing", new(formReader), "", "a bun.Model that does not say which bind it is on"},
		{"reader of a reader", &formReader{&formReader{note}}, "", "a bun.Model that does not say which bind it is on"},
		{"reader in an interface", &[]any{&formReader{note}}, "", "a bun.Model among others"},

		// What has no bind is on the default one.
		{"map", map[string]any{}, "", ""},
		{"*map", &row, "", ""},
		{"(*map)(nil)", (*map[string]any)(nil), "", ""},
		{"*[]map", &[]map[string]any{row}, "", ""},
		{"[]map", []map[string]any{}, "", ""},
		{"*int", new(int), "", ""},
		{"string", "", "", ""},
		{"*[]string", new([]string), "", ""},
		{"*[]*string", new([]*string), "", ""},
		{"*[]byte", new([]byte), "", ""},
		{"*[][]byte", new([][]byte), "", ""},
		{"*[16]byte", new([16]byte), "", ""},
		{"*json.RawMessage", new(json.RawMessage), "", ""},
		{"*float64", new(float64), "", ""},
		{"*bool", new(bool), "", ""},
		{"named scalar", new(formKey), "", ""},
		{"*time.Time", &when, "", ""},
		{"*[]time.Time", new([]time.Time), "", ""},
		{"*sql.NullString", new(sql.NullString), "", ""},
		{"named scalar with a key", new(formName), auth, ""},

		// What Bun panics at, hangs at or cannot read into.
		{"named map", &formRow{}, "", "of maps Bun takes"},
		{"named slice of maps", &formRows{}, "", "of maps Bun takes"},
		{"*[]*map", &[]*map[string]any{}, "", "of maps Bun takes"},
		{"**map", new(*map[string]any), "", "of maps Bun takes"},
		{"map of models", &map[string]routedNote{}, "", "of maps Bun takes"},
		{"map of BindKeyers", &map[string]echobun.BindKeyer{}, "", "of maps Bun takes"},
		{"map of named keys", &map[formKey]any{}, "", "of maps Bun takes"},
		{"channel", make(chan routedNote), "", "no model"},
		{"function", func() *routedNote { return nil }, "", "no model"},
		{"complex number", new(complex128), "", "no model"},
		{"pointer to itself", pointer, "", "no model"},
		{"slice of itself", &formSlice{}, "", "no model"},
	}
}

// TestModelForms asks every builder where it sends every form of value. What
// is not known must never go to the default bind.
func TestModelForms(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t, "auth", "meta")
	x := newExtension(t, cfg)
	_, db := newSession(t, x)

	for _, tc := range modelForms(x.Engine()) {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for builder, build := range buildersOf(db) {
				for range 2 { // What is remembered of a type says the same.
					q := build(tc.model)
					if tc.err == "" {
						require.Same(t, x.Engines()[tc.bind].Dialect(), q.DB().Dialect(), builder)
						continue
					}
					_, err := q.AppendQuery(q.DB().QueryGen(), nil)
					var modelErr *echobun.ModelError
					require.ErrorAs(t, err, &modelErr, builder)
					require.ErrorContains(t, err, tc.err, builder)
					for key, engine := range x.Engines() {
						require.NotSame(t, engine.Dialect(), q.DB().Dialect(), "%s: bind %q", builder, key)
					}
				}
			}
		})
	}
	t.Cleanup(func() {
		for key, hook := range hooks {
			require.Empty(t, hook.take(), "bind %q", key)
		}
	})
}
