package mysql_test

import (
	"database/sql"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/dialect/mysqldialect"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/mysql"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestServerFeatures(t *testing.T) {
	t.Parallel()
	const (
		maria100 = feature.CreateIndexIfNotExists
		maria102 = maria100 | feature.DeleteReturning
		maria105 = maria102 | feature.InsertReturning
		mysql80  = feature.CTE | feature.WithValues
		mysql84  = mysql80 | feature.DeleteTableAlias
	)
	tests := []struct {
		version string
		want    feature.Feature
	}{
		{"10.11.6-MariaDB-0+deb12u1", maria105},
		{"5.5.5-10.11.6-MariaDB-log", maria105},
		{"10.5.0-MariaDB", maria105},
		{"10.4.34-MariaDB", maria102},
		{"5.5.5-10.4.34-MariaDB", maria102},
		{"10.0.4-MariaDB", maria100},
		{"11.8.2-MariaDB-ubu2404", maria105},
		{"12.0-MariaDB", maria105},
		{"5.7.44-log", 0},
		{"8.0.15", mysql80},
		{"8.0.16", mysql84},
		{"8.0.36-0ubuntu0.22.04.1", mysql84},
		{"8.0.35-google", mysql84},
		{"8.4.0", mysql84},
		{"9.1.0-commercial", mysql84},
		{"8.0.28.amazon", mysql84},
		{"8.0.11-TiDB-v7.5.0", mysql80},
		{"", 0},
		{"unknown", 0},
	}
	for _, tt := range tests {
		t.Run(tt.version, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, mysql.ServerFeatures(tt.version))
		})
	}
}

// The rules are Bun's own.
func TestFeaturesAreBuns(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	buns := mysqldialect.New()
	buns.Init(db.DB)
	require.Equal(t, buns.Features(), db.Dialect().Features())
}

// In a pool that is not this package's, the dialect does as Bun's.
func TestForeignPool(t *testing.T) {
	t.Parallel()
	cfg := gomysql.NewConfig()
	server := dbtest.MariaDB(t)
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = "tcp", server.Addr(), server.User, server.Password
	c, err := gomysql.NewConnector(cfg)
	require.NoError(t, err)
	db := bun.NewDB(sql.OpenDB(c), ours(t).Dialect())
	defer db.Close()
	require.True(t, db.HasFeature(feature.InsertReturning))
	require.Equal(t, "a\\b", value[string](t, db, "SELECT ?", "a\\b"))
}

// A server that comes up after the pool was made gets the same features as
// one that was there, from the first statement on.
func TestServerComesUpLater(t *testing.T) {
	t.Parallel()
	server := dbtest.StartMariaDB(t)
	server.Stop()
	db := open(t, parse(t, server.URL()), driver.Options{ConnectTimeout: 5 * time.Second})
	db.RegisterModel((*item)(nil))
	_, err := db.NewInsert().Model(&item{Name: "a"}).Exec(t.Context())
	require.Equal(t, driver.Unavailable, ours(t).Classify(err), "%v", err)

	server.Start()
	other := open(t, parse(t, server.URL()), driver.Options{})
	run(t, other, createItems, "INSERT INTO items (name) VALUES ('before')")
	time.Sleep(time.Second) // A failure is remembered for so long.
	it := &item{Name: "a"}
	_, err = db.NewInsert().Model(it).Exec(t.Context())
	require.NoError(t, err)
	require.Equal(t, item{ID: 2, Name: "a", Kind: "std"}, *it)
}

// Features are those of the newest connection's server: it may be replaced.
func TestFeaturesAreLearnedAgain(t *testing.T) {
	t.Parallel()
	server := dbtest.StartMariaDB(t)
	old := dbtest.StartMariaDB(t, "--version=10.4.34-MariaDB")
	run(t, open(t, parse(t, old.URL()), driver.Options{}),
		fmt.Sprintf("ALTER USER '%s'@'%%' IDENTIFIED BY '%s'", server.User, server.Password))
	balancer, to := balance(t, old.Addr())

	db := open(t, parse(t, server.URLVia(balancer)), driver.Options{})
	require.False(t, db.HasFeature(feature.InsertReturning))
	to(server.Addr())
	require.NoError(t, db.PingContext(t.Context()))
	require.True(t, db.HasFeature(feature.InsertReturning))
}

type author struct {
	ID    int64   `bun:",pk,autoincrement"`
	Books []*book `bun:"rel:has-many,join:id=author_id"`
}

type book struct {
	ID       int64   `bun:",pk,autoincrement"`
	AuthorID int64   `bun:",notnull"`
	Author   *author `bun:"rel:belongs-to,join:author_id=id"`
}

// Making a pool and registering models ask no server, not even one that takes
// the connection and keeps silent.
func TestNothingWaits(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	silent := listen(t, func(net.Conn) { asked <- struct{}{} })
	begun := time.Now()
	db := open(t, parse(t, "mysql://u@"+silent+"/db"), driver.Options{ConnectTimeout: 3 * time.Second})
	db.RegisterModel((*author)(nil), (*book)(nil))
	db.Table(reflect.TypeFor[book]())
	require.Less(t, time.Since(begun), 900*time.Millisecond)
	require.Empty(t, asked)

	// Queries wait, but not for long, and one for all.
	begun = time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { _ = db.NewInsert().Model(&book{AuthorID: 1}).String() })
	}
	wg.Wait()
	require.Less(t, time.Since(begun), 2*time.Second)
	require.Len(t, asked, 1)
}

// texts have every character that is special somewhere.
var texts = []string{
	"", "plain", `it's`, `''`, `"quoted"`, "`back`", `back\slash`, `\`, `\\`, `\'`, `'\`, `\0`, `%_\%\_`,
	"NUL\x00inside", "\x00", "\x00'\\", "é", "日本語", "😀", "日\\本", "é'", "line\r\nbreak\ttab\x1a", "?", "?0 ?name",
	strings.Repeat(`a\'`, 1000),
}

var sqlModes = []string{"", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES"}

type textRow struct {
	bun.BaseModel `bun:"table:texts"`

	ID   int64             `bun:",pk"`
	Text string            `bun:"type:longtext"`
	Blob []byte            `bun:"type:longblob"`
	JSON map[string]string `bun:"type:json"`
}

// Text is read back byte for byte, whatever the sql_mode.
func TestText(t *testing.T) {
	t.Parallel()
	for _, mode := range sqlModes {
		for _, charset := range []string{"utf8mb4", "none,utf8mb4", "utf8"} {
			t.Run(mode+"/"+charset, func(t *testing.T) {
				t.Parallel()
				db := fresh(t, "sql_mode", mode, "charset", charset)
				run(t, db, "CREATE TABLE texts (id int, text longtext, blob_ longblob, json json) CHARSET utf8mb4",
					"ALTER TABLE texts CHANGE blob_ `blob` longblob")
				for i, text := range texts {
					in := &textRow{ID: int64(i), Text: text, Blob: []byte(text), JSON: map[string]string{text: text}}
					_, err := db.NewInsert().Model(in).Exec(t.Context())
					require.NoError(t, err, "%q", text)
					out := new(textRow)
					require.NoError(t, db.NewSelect().Model(out).Where("id = ? AND text = ?", i, text).Scan(t.Context()), "%q", text)
					require.Equal(t, in.Text, out.Text)
					require.Equal(t, string(in.Blob), string(out.Blob))
					require.Equal(t, in.JSON, out.JSON)
				}
			})
		}
	}
}

// What is not UTF-8 is stored as it is in a blob, and refused as text.
func TestInvalidText(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, "CREATE TABLE t (b longblob, s longtext)")
	_, err := db.ExecContext(t.Context(), "INSERT INTO t (b) VALUES (?)", "a\xff\\\x00b")
	require.NoError(t, err)
	require.Equal(t, "a\xff\\\x00b", value[string](t, db, "SELECT b FROM t"))
	_, err = db.ExecContext(t.Context(), "INSERT INTO t (s) VALUES (?)", "a\xffb")
	require.ErrorContains(t, err, "Incorrect string value")
}

// Even with a character set that the driver refuses, set by hand on one
// session, a string stays inside its literal.
func TestNoInjection(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	for _, charset := range []string{"gbk", "sjis", "big5", "cp932", "gb2312", "latin1", "utf8mb4"} {
		for _, mode := range sqlModes {
			c := pinned(t, db)
			run(t, c, "SET NAMES "+charset, "SET sql_mode = '"+mode+"'")
			for _, lead := range []string{"\x81", "\x95", "\xbf", "\xe5", "é", "¿", "ß", "表", "能", "連", "縗"} {
				for _, tail := range []string{"'", `\'`, `\`, `\\'`, "''", "\x00'"} {
					text := lead + tail + " OR 1 = 1 -- "
					var n int
					err := c.QueryRowContext(t.Context(), "SELECT count(*) FROM (SELECT 1) one WHERE 1 = 0 AND 'x' = ? AND 1 = 0", text).Scan(&n)
					if err == nil {
						require.Zero(t, n, "%s %q", charset, text)
					} else {
						require.NotContains(t, err.Error(), "syntax", "%s %q", charset, text)
					}
				}
			}
			require.NoError(t, c.Close())
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("east", 5*3600)
	at := time.Date(2026, 3, 4, 2, 30, 5, 123456000, east)
	tests := []struct {
		name       string
		parameters []string
		stored     string
		loc        string
	}{
		{"default", nil, "2026-03-03 21:30:05.123456", "UTC"},
		{"loc", []string{"loc", "Asia/Tokyo"}, "2026-03-04 06:30:05.123456", "Asia/Tokyo"},
		{"loc and time_zone", []string{"loc", "Asia/Tokyo", "time_zone", "+09:00"}, "2026-03-04 06:30:05.123456", "Asia/Tokyo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := fresh(t, tt.parameters...)
			run(t, db, "CREATE TABLE t (at datetime(6))")
			_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (?)", at)
			require.NoError(t, err)
			require.Equal(t, tt.stored, value[string](t, db, "SELECT CAST(at AS char) FROM t"))
			got := value[time.Time](t, db, "SELECT at FROM t")
			require.True(t, at.Equal(got), "%v", got)
			require.Equal(t, tt.loc, got.Location().String())
		})
	}
}

// Of the hour that a clock shows twice one can be stored, and the other is
// refused: it would be read as an hour earlier or later.
func TestTheHourThatComesTwice(t *testing.T) {
	t.Parallel()
	db := fresh(t, "loc", "Europe/Berlin")
	run(t, db, "CREATE TABLE t (at datetime(6))")
	refused := 0
	for at := time.Date(2024, 10, 26, 22, 30, 0, 0, time.UTC); at.Before(time.Date(2024, 10, 27, 4, 0, 0, 0, time.UTC)); at = at.Add(time.Hour) {
		run(t, db, "DELETE FROM t")
		if _, err := db.NewInsert().Table("t").Model(&map[string]any{"at": at}).Exec(t.Context()); err != nil {
			require.ErrorContains(t, err, "comes twice")
			refused++
			continue
		}
		require.True(t, at.Equal(value[time.Time](t, db, "SELECT at FROM t")), at)
	}
	require.Equal(t, 1, refused)
}

// The server's clock agrees with how its times are read.
func TestServerTime(t *testing.T) {
	t.Parallel()
	server := dbtest.StartMariaDB(t, "--default-time-zone=+09:00")
	for _, parameters := range [][]string{nil, {"loc", "Asia/Tokyo"}, {"loc", "Asia/Tokyo", "time_zone", "'+09:00'"}} {
		db := open(t, parse(t, server.URL(), parameters...), driver.Options{})
		run(t, db, "CREATE OR REPLACE TABLE t (id int, at datetime(6) DEFAULT CURRENT_TIMESTAMP(6))", "INSERT INTO t (id) VALUES (1)")
		require.WithinDuration(t, time.Now(), value[time.Time](t, db, "SELECT at FROM t"), time.Minute)
	}
}
