package otelechobun_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/otelechobun"
)

func TestStatementSpan(t *testing.T) {
	t.Parallel()
	w := watch(t, twoBinds(t), otelechobun.WithAttributes(attribute.String("team", "blue")))
	ctx, db, root := w.session(t)

	before := time.Now()
	require.NoError(t, db.NewSelect().Model(new([]book)).Where("title = ?", "x").Scan(ctx))
	_, err := db.NewInsert().Model(&user{Name: "Ann"}).Exec(ctx)
	require.NoError(t, err)
	after := time.Now()

	named, spans := w.take()
	require.Len(t, spans, 2)
	span := named["SELECT books"]
	require.Equal(t, map[attribute.Key]any{
		"echobun.bind": "", "team": "blue", "db.system.name": "sqlite", "db.operation.name": "SELECT", "db.collection.name": "books",
		"db.query.text": `SELECT "book"."id", "book"."title" FROM "books" AS "book" WHERE (title = ?)`,
	}, attrs(span))
	require.Equal(t, trace.SpanKindClient, span.SpanKind)
	require.Equal(t, codes.Unset, span.Status.Code)
	require.Equal(t, root.SpanContext().SpanID(), span.Parent.SpanID())
	require.Equal(t, "github.com/echobun/echobun/otelechobun", span.InstrumentationScope.Name)
	require.Equal(t, semconv.SchemaURL, span.InstrumentationScope.SchemaURL)
	require.False(t, span.StartTime.Before(before))
	require.False(t, span.EndTime.Before(span.StartTime))
	require.False(t, span.EndTime.After(after))

	span = named["INSERT users"]
	require.Equal(t, "auth", attrs(span)["echobun.bind"])
	require.Equal(t, root.SpanContext().SpanID(), span.Parent.SpanID())
}

// TestSpanOfSQL: what Bun knows nothing of has its first word as its name.
func TestSpanOfSQL(t *testing.T) {
	t.Parallel()
	w := watch(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	ctx, db, _ := w.session(t)
	for _, tc := range []struct{ query, name, text string }{
		{"SELECT 1", "SELECT", "SELECT ?"},
		{"update books set title = 'a' where id = 7;", "UPDATE", "update books set title = ? where id = ?;"},
		{"CREATE TABLE notes (id int)", "CREATE TABLE", "CREATE TABLE notes (id int)"},
		{"DELETE FROM notes; DELETE FROM books", "sqlite", "DELETE FROM notes; DELETE FROM books"},
	} {
		_, err := db.Bind("").ExecContext(ctx, tc.query)
		require.NoError(t, err)
		_, err = db.NewRaw(tc.query).Exec(ctx)
		if tc.name != "CREATE TABLE" {
			require.NoError(t, err)
		}
		_, spans := w.take()
		require.Len(t, spans, 2)
		for _, span := range spans {
			require.Equal(t, tc.name, span.Name)
			require.Equal(t, tc.text, attrs(span)["db.query.text"])
			require.NotContains(t, attrs(span), attribute.Key("db.collection.name"))
			if tc.name == "sqlite" {
				require.NotContains(t, attrs(span), attribute.Key("db.operation.name"), "it does several things")
			}
		}
	}
}

// TestNoArguments: none is in a span or a metric, whatever way it came.
func TestNoArguments(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	for name, url := range map[string]func(testing.TB) string{
		"SQLite":     sqliteURL,
		"PostgreSQL": postgresURL,
		"MariaDB":    mariadbURL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, echobun.Config{DatabaseURI: url(t)})
			ctx, db, _ := w.session(t)
			for i, run := range []func() error{
				func() error { return ran(db.NewInsert().Model(&book{Title: secret}).Exec(ctx)) },
				func() error { return ran(db.NewInsert().Model(&book{Title: secret}).Exec(ctx)) }, // Its error quotes it.
				func() error { return db.NewSelect().Model(new([]book)).Where("title = ?", secret).Scan(ctx) },
				func() error { return db.NewRaw("SELECT ?", secret).Scan(ctx, new(string)) },
				func() error { return ran(db.Bind("").ExecContext(ctx, "SELECT '"+secret+"'")) },
				func() error { return ran(db.Bind("").ExecContext(ctx, "SELECT ? FROM nowhere", secret)) },
				func() error {
					return db.Bind("").NewSelect().TableExpr("(SELECT ?) AS t", secret).Scan(ctx, new(string))
				},
				func() error { return db.Bind("").NewSelect().TableExpr("?", secret).Scan(ctx, new(string)) },
				func() error {
					return db.Bind("").NewSelect().Model(new([]book)).ModelTableExpr("(SELECT '" + secret + "') AS book").Scan(ctx)
				},
				func() error {
					return ran(db.NewUpdate().Model((*book)(nil)).Set("title = ?", secret).Where("id = 99").Exec(ctx))
				},
				func() error { // On PostgreSQL; the others don't understand it.
					return ran(db.Bind("").ExecContext(ctx, "DO $$ BEGIN RAISE EXCEPTION 'ungültig: »"+secret+"« "+secret+"'; END $$"))
				},
				func() error { // On MariaDB.
					return ran(db.Bind("").ExecContext(ctx, "BEGIN NOT ATOMIC SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no "+secret+"'; END"))
				},
			} {
				err := run()
				_, spans := w.take()
				require.NotEmpty(t, spans, i)
				for _, span := range spans {
					require.NotContains(t, fmt.Sprint(span.Name, attrs(span), span.Events), secret, "%d: %v", i, err)
					if i != 7 { // Names may be told, and there it is one.
						require.NotContains(t, span.Status.Description, secret, "%d: %v", i, err)
					}
				}
			}
			require.NotContains(t, fmt.Sprint(w.collect(t)), secret)
		})
	}
}

func ran(_ any, err error) error { return err }

// TestLongText: the text of a statement is cut between two characters.
func TestLongText(t *testing.T) {
	t.Parallel()
	w := watch(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	ctx, db, _ := w.session(t)
	_, err := db.Bind("").ExecContext(ctx, "SELECT 1 AS x"+strings.Repeat("ü", 9000))
	require.NoError(t, err)
	_, spans := w.take()
	text, _ := attrs(spans[0])["db.query.text"].(string)
	require.Equal(t, "SELECT ? AS x"+strings.Repeat("ü", (8<<10-13)/2)+"...", text)
}

// TestServer: where the database is comes from its URL.
func TestServer(t *testing.T) {
	t.Parallel()
	server := dbtest.Postgres(t)
	w := watch(t, echobun.Config{DatabaseURI: server.URL()})
	ctx, db, _ := w.session(t)
	require.NoError(t, db.NewSelect().Model(new([]book)).Scan(ctx))
	_, err := db.Bind("").ExecContext(ctx, "SELECT 1")
	require.NoError(t, err)
	_, spans := w.take()
	require.Equal(t, "SELECT books", spans[0].Name)
	require.Equal(t, "SELECT "+server.Database, spans[1].Name)
	for _, span := range spans {
		got := attrs(span)
		require.Equal(t, "postgresql", got["db.system.name"])
		require.Equal(t, server.Database, got["db.namespace"])
		require.Equal(t, server.Host, got["server.address"])
		require.EqualValues(t, server.Port, got["server.port"])
	}
	require.NotContains(t, fmt.Sprint(spans), server.Password)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, code string
		url        func(testing.TB) string
	}{
		{"SQLite", "2067", sqliteURL},
		{"PostgreSQL", "23505", postgresURL},
		{"MariaDB", "1062", mariadbURL},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, echobun.Config{DatabaseURI: tc.url(t)})
			ctx, db, _ := w.session(t)
			_, err := db.NewInsert().Model(&book{Title: "a"}).Exec(ctx)
			require.NoError(t, err)
			_, err = db.NewInsert().Model(&book{Title: "a"}).Exec(ctx)
			require.ErrorIs(t, err, echobun.ErrUnique)
			_, spans := w.take()
			require.Equal(t, codes.Unset, spans[0].Status.Code)
			require.Equal(t, codes.Error, spans[1].Status.Code)
			require.NotEmpty(t, spans[1].Status.Description)
			require.Equal(t, tc.code, attrs(spans[1])["error.type"])
			require.Equal(t, tc.code, attrs(spans[1])["db.response.status_code"])

			require.Error(t, db.NewSelect().Model(new(book)).Where("id = 99").Scan(ctx))
			_, spans = w.take()
			require.Equal(t, codes.Unset, spans[0].Status.Code, "no rows are no error")
			require.NotContains(t, attrs(spans[0]), attribute.Key("error.type"))
		})
	}
}

// TestOtherErrors: those that no server has sent.
func TestOtherErrors(t *testing.T) {
	t.Parallel()
	cfg := echobun.Config{DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{MaxOpenConns: 1, PoolTimeout: time.Millisecond}}
	w := watch(t, cfg)
	ctx, db, _ := w.session(t)
	fails := func(ctx context.Context, want string) {
		_, err := db.Bind("").ExecContext(ctx, "SELECT 1")
		require.Error(t, err)
		_, spans := w.take()
		require.Len(t, spans, 1)
		require.Equal(t, want, attrs(spans[0])["error.type"], err)
		require.NotContains(t, attrs(spans[0]), attribute.Key("db.response.status_code"))
		require.Equal(t, codes.Error, spans[0].Status.Code)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	fails(over, "canceled")
	late, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	fails(late, "deadline_exceeded")

	conn, err := w.Engine().DB.Conn(ctx)
	require.NoError(t, err)
	fails(ctx, "pool_timeout")
	require.NoError(t, conn.Close())

	var tx bun.Tx
	require.NoError(t, w.Engine().RunInTx(ctx, nil, func(_ context.Context, inner bun.Tx) error {
		tx = inner
		return nil
	}))
	w.take()
	require.Error(t, tx.Commit())
	_, spans := w.take()
	require.Equal(t, "transaction_done", attrs(spans[0])["error.type"])
}
