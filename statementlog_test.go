package echobun_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

// logBook takes log records, for tests to read.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// take returns the records since the last call, and their text.
func (l *logBook) take(t *testing.T) (records []map[string]any, text string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	text = l.buf.String()
	l.buf.Reset()
	for line := range strings.Lines(text) {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		records = append(records, record)
	}
	return records, text
}

func TestStatementLogRecord(t *testing.T) {
	t.Parallel()
	log := new(logBook)
	x := newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}},
		LogStatements: true, Logger: log.logger(),
	}, (*book)(nil), (*routedNote)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	log.take(t)

	books := []book{{Title: "a"}, {Title: "b"}}
	_, err := db.NewInsert().Model(&books).Exec(ctx)
	require.NoError(t, err)
	records, _ := log.take(t)
	require.Len(t, records, 1)
	require.Equal(t, "INFO", records[0]["level"])
	require.Equal(t, "echobun: statement", records[0]["msg"])
	require.Empty(t, records[0]["bind"])
	require.Contains(t, records[0], "bind")
	require.Equal(t, "INSERT", records[0]["op"])
	require.EqualValues(t, 2, records[0]["rows"])
	require.Greater(t, records[0]["duration"], 0.0)
	require.NotContains(t, records[0], "error")
	require.Contains(t, records[0]["statement"], `INSERT INTO "books"`)

	_, err = db.NewUpdate().Model((*routedNote)(nil)).Set("text = ?", "x").Where("id = ?", 7).Exec(ctx)
	require.NoError(t, err)
	records, _ = log.take(t)
	require.Equal(t, "auth", records[0]["bind"])
	require.Equal(t, "UPDATE", records[0]["op"])
	require.EqualValues(t, 0, records[0]["rows"])
	require.Equal(t, `UPDATE "notes" AS "routed_note" SET text = ? WHERE (id = ?)`, records[0]["statement"])

	_, err = db.NewRaw("DELETE FROM nowhere WHERE id = ?", 1).Exec(ctx)
	require.Error(t, err)
	records, _ = log.take(t)
	require.Equal(t, "DELETE", records[0]["op"])
	require.Equal(t, "DELETE FROM nowhere WHERE id = ?", records[0]["statement"])
	require.Contains(t, records[0]["error"], "no such table: nowhere")

	require.Error(t, db.NewSelect().Model(new(book)).Where("id = 100").Scan(ctx))
	records, _ = log.take(t)
	require.NotContains(t, records[0], "error", "no rows are no error to log")
}

// TestStatementLogSwitch turns the log on and off for a bind.
func TestStatementLogSwitch(t *testing.T) {
	t.Parallel()
	on, off := true, false
	for _, tc := range []struct {
		all  bool
		bind *bool
		want int
	}{{false, nil, 0}, {true, nil, 2}, {false, &on, 1}, {true, &off, 1}} {
		log, hook := new(logBook), new(sentHook)
		x := newExtension(t, echobun.Config{
			DatabaseURI: sqliteURL(t), LogStatements: tc.all, Logger: log.logger(),
			Binds: echobun.Binds{"auth": {URL: sqliteURL(t), LogStatements: tc.bind, Hooks: []bun.QueryHook{hook}}},
		})
		ctx, db := newSession(t, x)
		for _, key := range []string{"", "auth"} {
			_, err := db.Bind(key).ExecContext(ctx, "SELECT 1")
			require.NoError(t, err)
		}
		records, _ := log.take(t)
		require.Len(t, records, tc.want, "%+v", tc)
		require.Len(t, hook.take(), 1, "hooks of the user's own go on")
	}
}

const logMarker = "s3cr3tm4rk3r"

type secretOwner struct {
	bun.BaseModel `bun:"table:secret_owners"`

	Key    string        `bun:",pk,type:varchar(120)"`
	Text   string        `bun:"type:varchar(200)"`
	Blob   []byte        `bun:",nullzero"`
	Parts  []*secretPart `bun:"rel:has-many,join:key=owner"`
	Tags   []*secretTag  `bun:"m2m:secret_owner_tags,join:Owner=Tag"`
	Number int64
	At     time.Time `bun:",nullzero"`
}

type secretPart struct {
	bun.BaseModel `bun:"table:secret_parts"`

	ID    int64  `bun:",pk,autoincrement"`
	Owner string `bun:"type:varchar(120)"`
}

type secretTag struct {
	bun.BaseModel `bun:"table:secret_tags"`

	Name string `bun:",pk,type:varchar(120)"`
}

type secretOwnerTag struct {
	bun.BaseModel `bun:"table:secret_owner_tags"`

	OwnerKey string       `bun:",pk,type:varchar(120)"`
	Owner    *secretOwner `bun:"rel:belongs-to,join:owner_key=key"`
	TagName  string       `bun:",pk,type:varchar(120)"`
	Tag      *secretTag   `bun:"rel:belongs-to,join:tag_name=name"`
}

// nasty are values that a careless scrubber would trip over; all end in the logMarker.
var nasty = []string{
	logMarker, "it's " + logMarker, `back\slash\' ` + logMarker, `"double" ` + logMarker, "`back` " + logMarker, "$$ " + logMarker,
	"'; -- " + logMarker, "/* ' */ " + logMarker, `\` + logMarker, "''" + logMarker, "? ?0 ?name " + logMarker, "E'" + logMarker, "ü" + logMarker,
}

const secretNumber = 987654321987

// secretQueries returns queries of every kind that carry s.
func secretQueries(db *echobun.Session, table *echobun.Table, s string, name dialect.Name) map[string]func(context.Context) error {
	row := func() *secretOwner {
		return &secretOwner{Key: s, Text: s, Blob: []byte(s), Number: secretNumber, At: time.Unix(secretNumber/1000, 0)}
	}
	other := func() *secretOwner { return &secretOwner{Key: s + "2", Text: s, Blob: []byte(s), Number: secretNumber} }
	queries := map[string]func(context.Context) error{
		"01 insert": func(ctx context.Context) error { return ran(db.NewInsert().Model(row()).Exec(ctx)) },
		"02 bulk": func(ctx context.Context) error {
			return ran(db.NewInsert().Model(&[]*secretOwner{row(), other()}).Ignore().Exec(ctx))
		},
		"03 insert map": func(ctx context.Context) error {
			return ran(db.NewInsert().Table(table).Model(&map[string]any{"key": s + "3", "text": s, "number": secretNumber}).Exec(ctx))
		},
		"04 value": func(ctx context.Context) error {
			return ran(db.NewInsert().Model(&secretPart{Owner: s}).Value("owner", "?", s).Exec(ctx))
		},
		"05 tags": func(ctx context.Context) error {
			return ran(db.NewInsert().Model(&[]secretTag{{Name: s}, {Name: s + "2"}}).Exec(ctx))
		},
		"06 owner tags": func(ctx context.Context) error {
			return ran(db.NewInsert().Model(&[]secretOwnerTag{{OwnerKey: s, TagName: s}, {OwnerKey: s, TagName: s + "2"}}).Exec(ctx))
		},
		"10 update": func(ctx context.Context) error { return ran(db.NewUpdate().Model(row()).WherePK().Exec(ctx)) },
		"11 update set": func(ctx context.Context) error {
			return ran(db.NewUpdate().Model((*secretOwner)(nil)).Set("number = ?", secretNumber).
				SetColumn("text", "COALESCE(?, ?)", s, s).Where("?TableAlias.text = ?", s).Exec(ctx))
		},
		"12 update map": func(ctx context.Context) error {
			return ran(db.NewUpdate().Table(table).Model(&map[string]any{"text": s, "number": secretNumber}).Where("text = ?", s).Exec(ctx))
		},
		"20 has-many": func(ctx context.Context) error {
			return db.NewSelect().Model(new([]secretOwner)).Relation("Parts").Relation("Tags").Where("number = ?", secretNumber).Scan(ctx)
		},
		"21 in": func(ctx context.Context) error {
			return db.NewSelect().Model(new([]secretOwner)).Where("text IN (?)", bun.List([]string{s, s})).
				Where("number IN (?)", bun.List([]int64{secretNumber, 1})).Scan(ctx)
		},
		"22 tuple": func(ctx context.Context) error {
			return db.NewSelect().Model(new([]secretOwner)).Where("(text, number) IN (?)", bun.Tuple([][]any{{s, secretNumber}})).Scan(ctx)
		},
		"23 pks": func(ctx context.Context) error {
			return db.NewSelect().Model(&[]*secretOwner{row(), other()}).WherePK().Scan(ctx)
		},
		"24 group": func(ctx context.Context) error {
			return db.NewSelect().Model(new([]secretOwner)).WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
				return q.Where("text = ?", s).WhereOr("text LIKE ?", s)
			}).Limit(secretNumber).Offset(secretNumber).Order("number").Scan(ctx)
		},
		"25 sub-query": func(ctx context.Context) error {
			sub := db.NewSelect().Model((*secretPart)(nil)).Column("owner").Where("owner = ?", s)
			return ran(db.NewSelect().Model((*secretOwner)(nil)).Where("text IN (?)", sub).Count(ctx))
		},
		"26 exists": func(ctx context.Context) error {
			return ran(db.NewSelect().Table(table).Where("text = ?", s).Exists(ctx))
		},
		"27 column expr": func(ctx context.Context) error {
			return db.NewSelect().Table(table).ColumnExpr("?", s).Limit(1).Scan(ctx, new(string))
		},
		"28 union": func(ctx context.Context) error {
			return db.NewSelect().Table(table).Column("text").Where("text = ?", s).
				Union(db.NewSelect().Table(table).Column("text").Where("text = ?", s)).Scan(ctx, new([]string))
		},
		"30 raw": func(ctx context.Context) error { return db.NewRaw("SELECT ?", s).Scan(ctx, new(string)) },
		"31 exec": func(ctx context.Context) error {
			return ran(db.Bind("").ExecContext(ctx, "SELECT ?, ?", s, secretNumber))
		},
		"32 query row": func(ctx context.Context) error {
			return db.Bind("").QueryRowContext(ctx, "SELECT ?", s).Scan(new(string))
		},
		"33 tx": func(ctx context.Context) error {
			return db.Bind("").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return ran(tx.NewUpdate().Model(row()).WherePK().Exec(ctx))
			})
		},
		"34 literal": func(ctx context.Context) error {
			return db.NewRaw("SELECT '"+strings.NewReplacer("'", "''", `\`, "", "?", "").Replace(s)+"'").Scan(ctx, new(string))
		},
		"90 delete": func(ctx context.Context) error { return ran(db.NewDelete().Model(row()).WherePK().Exec(ctx)) },
		"91 deletes": func(ctx context.Context) error {
			return ran(db.NewDelete().Model((*secretOwner)(nil)).Where("number = ?", secretNumber).Exec(ctx))
		},
		"92 tags": func(ctx context.Context) error {
			return ran(db.NewDelete().Model((*secretTag)(nil)).Where("1 = 1").Exec(ctx))
		},
		"93 tags": func(ctx context.Context) error {
			return ran(db.NewDelete().Model((*secretOwnerTag)(nil)).Where("1 = 1").Exec(ctx))
		},
		"94 parts": func(ctx context.Context) error {
			return ran(db.NewDelete().Model((*secretPart)(nil)).Where("1 = 1").Exec(ctx))
		},
	}
	if name != dialect.MySQL { // It knows neither.
		queries["13 update bulk"] = func(ctx context.Context) error {
			return ran(db.NewUpdate().Model(&[]*secretOwner{row(), other()}).Column("text", "number").Bulk().Exec(ctx))
		}
		queries["29 values"] = func(ctx context.Context) error {
			return db.NewSelect().Model(new([]secretOwner)).With("v", db.NewValues(&[]*secretOwner{row(), other()})).
				Where("text IN (SELECT text FROM v)").Scan(ctx)
		}
		queries["07 upsert"] = func(ctx context.Context) error {
			return ran(db.NewInsert().Model(row()).On("CONFLICT (key) DO UPDATE").Set("text = ?", s).Exec(ctx))
		}
	}
	return queries
}

// TestStatementLogHidesArguments runs queries of every kind with a logMarker in
// their arguments and asserts that it never is in the log, and that what the
// statement was about is.
func TestStatementLogHidesArguments(t *testing.T) {
	t.Parallel()
	databases := threeDatabases(t)
	for name, url := range map[string]string{
		"PostgreSQL": databases.DatabaseURI, "MariaDB": databases.Binds["auth"].URL, "SQLite": databases.Binds["meta"].URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := new(logBook)
			x := newExtension(t, echobun.Config{DatabaseURI: url, LogStatements: true, Logger: log.logger()},
				(*secretOwner)(nil), (*secretPart)(nil), (*secretTag)(nil), (*secretOwnerTag)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			for _, s := range nasty {
				requireHidden(ctx, t, x, db, log, s)
			}
		})
	}
}

func requireHidden(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session, log *logBook, s string) {
	t.Helper()
	table, ok := x.Metadata().Table("secret_owners")
	require.True(t, ok)
	queries := secretQueries(db, table, s, x.Engine().Dialect().Name())
	for i := range 100 {
		for name, run := range queries {
			if !strings.HasPrefix(name, fmt.Sprintf("%02d ", i)) {
				continue
			}
			log.take(t)
			require.NoError(t, run(ctx), "%s with %q", name, s)
			records, text := log.take(t)
			require.NotEmpty(t, records, name)
			for _, secret := range []string{logMarker, "987654321", fmt.Sprintf("%x", logMarker), fmt.Sprintf("%X", logMarker), "it's"} {
				require.NotContains(t, text, secret, "%s with %q", name, s)
			}
			if i < 30 {
				require.Contains(t, text, "secret_", "%s: the log has to name the table", name)
			}
		}
	}
}

// TestStatementLogErrorHidesArguments makes databases complain of values.
func TestStatementLogErrorHidesArguments(t *testing.T) {
	t.Parallel()
	databases := threeDatabases(t)
	for name, url := range map[string]string{
		"PostgreSQL": databases.DatabaseURI, "MariaDB": databases.Binds["auth"].URL, "SQLite": databases.Binds["meta"].URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := new(logBook)
			x := newExtension(t, echobun.Config{DatabaseURI: url, LogStatements: true, Logger: log.logger()}, (*book)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			for _, s := range nasty {
				require.NoError(t, addBook(ctx, db.Bind(""), s))
				log.take(t)
				require.ErrorIs(t, addBook(ctx, db.Bind(""), s), echobun.ErrUnique)
				require.Error(t, db.NewSelect().Model(new(book)).ColumnExpr("? AS pages", s).Limit(1).Scan(ctx), "no number")
				_ = ran(db.NewRaw("UPDATE books SET pages = ?", s).Exec(ctx)) // SQLite takes it.
				require.Error(t, ran(db.NewRaw("SELECT ? FROM no_table, ?", s, s).Exec(ctx)))
				records, text := log.take(t)
				require.Len(t, records, 4)
				require.Contains(t, records[0], "error")
				require.NotContains(t, text, logMarker, s)
			}
		})
	}
}

// TestStatementLogHidesScannedValues has Bun complain of a value that has no quotes.
func TestStatementLogHidesScannedValues(t *testing.T) {
	t.Parallel()
	log := new(logBook)
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), LogStatements: true, Logger: log.logger()})
	ctx, db := newSession(t, x)
	err := db.NewRaw("SELECT ?", secretNumber).Scan(ctx, new(time.Time))
	require.ErrorContains(t, err, "987654321", "the caller may see it")
	records, text := log.take(t)
	require.Len(t, records, 1)
	require.Contains(t, records[0]["error"], "into time.Time")
	require.NotContains(t, text, "987654321")
}

// TestStatementLogNamesOnMySQL is about what only MySQL quotes as it does.
func TestStatementLogNamesOnMySQL(t *testing.T) {
	t.Parallel()
	log := new(logBook)
	x := newExtension(t, echobun.Config{
		DatabaseURI: threeDatabases(t).Binds["auth"].URL, LogStatements: true, Logger: log.logger(),
	}, auditLog(""))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	log.take(t)
	_, err := db.NewSelect().Table(&echobun.Table{Name: "audit_log"}).Where("? = ?", bun.Ident("action"), "x").Count(ctx)
	require.NoError(t, err)
	records, _ := log.take(t)
	require.Equal(t, "SELECT count(*) FROM `audit_log` WHERE (`action` = ?)", records[0]["statement"])

	require.NoError(t, db.NewRaw(`SELECT "it's hidden", 'it\'s hidden', 'shown'`).Scan(ctx, new(string), new(string), new(string)))
	records, _ = log.take(t)
	require.Equal(t, "SELECT ?, ?, ?", records[0]["statement"])
}
