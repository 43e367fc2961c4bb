package echobun_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

// portableTypes are what the design promises for each portable type.
var portableTypes = []struct {
	name                  string
	typ                   echobun.Type
	pg, mysql, sqliteType string
}{
	{"c_small", echobun.SmallInteger, "smallint", "smallint(6)", "integer"},
	{"c_integer", echobun.Integer, "integer", "int(11)", "integer"},
	{"c_big", echobun.BigInteger, "bigint", "bigint(20)", "integer"},
	{"c_boolean", echobun.Boolean, "boolean", "tinyint(1)", "boolean"},
	{"c_float", echobun.Float, "real", "double", "real"},
	{"c_double", echobun.Double, "double precision", "double", "double precision"},
	{"c_text", echobun.Text, "text", "longtext", "text"},
	{"c_binary", echobun.LargeBinary, "bytea", "longblob", "blob"},
	{"c_date", echobun.Date, "date", "date", "date"},
	{"c_time", echobun.Time, "time without time zone", "time(6)", "time"},
	{"c_datetime", echobun.DateTime, "timestamp with time zone", "datetime(6)", "timestamp"},
	// MariaDB's json is longtext with a check.
	{"c_json", echobun.JSON, "jsonb", "longtext", "json"},
	{"c_uuid", echobun.UUID, "uuid", "char(36)", "char(36)"},
	{"c_numeric", echobun.Numeric(12, 3), "numeric(12,3)", "decimal(12,3)", "numeric(12,3)"},
	{"c_string", echobun.String(80), "character varying(80)", "varchar(80)", "varchar(80)"},
	{"c_own", echobun.SQL("char(7)"), "character(7)", "char(7)", "char(7)"},
}

func TestPortableTypes(t *testing.T) {
	t.Parallel()
	table := &echobun.Table{Name: "all_types"}
	for _, tt := range portableTypes {
		table.Columns = append(table.Columns, echobun.Column{Name: tt.name, Type: tt.typ})
	}
	perDatabase(t, []any{table}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))

		cat := catalogueOf(t, x.Engines(), "")
		columns := cat.columns("all_types")
		for _, tt := range portableTypes {
			want := map[dialect.Name]string{dialect.PG: tt.pg, dialect.MySQL: tt.mysql, dialect.SQLite: tt.sqliteType}[cat.dialect()]
			require.Equal(t, want, columns[tt.name], tt.name)
		}

		// Each takes a value of its kind and gives it back.
		at := time.Date(2024, 2, 29, 12, 34, 56, 789_000_000, time.UTC)
		row := map[string]any{
			"c_small": 7, "c_integer": 70_000, "c_big": int64(1) << 60, "c_boolean": true, "c_float": 0.5, "c_double": 0.1,
			"c_text": strings.Repeat("ä", 40_000), "c_binary": []byte{0, 0xff, '\''}, "c_date": "2024-02-29", "c_time": "12:34:56",
			"c_datetime": at, "c_json": `{"a": 1}`, "c_uuid": "0191d6a2-98f0-7c55-9a3c-6f4ad62a9d5e", "c_numeric": "123456789.125",
			"c_string": "ü", "c_own": "1234567",
		}
		_, err := s.NewInsert().Table(table).Model(&row).Exec(ctx)
		require.NoError(t, err)

		var got struct {
			CText     string
			CBinary   []byte
			CDatetime time.Time
			CNumeric  float64
		}
		require.NoError(t, s.NewSelect().Table(table).Column("c_text", "c_binary", "c_datetime", "c_numeric").Scan(ctx, &got))
		require.Equal(t, row["c_text"], got.CText)
		require.Equal(t, row["c_binary"], got.CBinary)
		require.Equal(t, at, got.CDatetime.UTC())
		require.InDelta(t, 123456789.125, got.CNumeric, 0)
	})
}

// columnsTable has one column of each kind that CreateAll has to get right.
func columnsTable() *echobun.Table {
	return &echobun.Table{
		Name: "things",
		Columns: []echobun.Column{
			{Name: "id", Type: echobun.BigInteger, PrimaryKey: true, AutoIncrement: true},
			{Name: "code", Type: echobun.String(20), NotNull: true, Unique: true},
			{Name: "state", Type: echobun.String(20), NotNull: true, Default: "'new, or (not)?'"},
			{Name: "score", Type: echobun.Integer, Default: "42"},
			{Name: "at", Type: echobun.DateTime, NotNull: true, Default: "CURRENT_TIMESTAMP"},
			{Name: "seen", Type: echobun.DateTime, Default: "current_timestamp"},
			{Name: "order", Type: echobun.Integer},
		},
		Indexes: []echobun.Index{
			{Columns: []string{"state", "score"}},
			{Columns: []string{"order", "at"}, Unique: true},
			{Name: "by_score", Columns: []string{"score"}},
		},
	}
}

func TestColumnsAndIndexes(t *testing.T) {
	t.Parallel()
	table := columnsTable()
	perDatabase(t, []any{table}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		cat := catalogueOf(t, x.Engines(), "")

		columns := cat.columns("things")
		require.Contains(t, columns["id"], "PK")
		require.Contains(t, columns["code"], "NOT NULL")
		require.Contains(t, columns["state"], "new, or (not)?")
		require.Contains(t, columns["score"], "DEFAULT 42")
		require.NotContains(t, columns["score"], "NOT NULL")
		now := `(?i)DEFAULT current_timestamp$`
		if cat.dialect() == dialect.MySQL {
			now = `(?i)DEFAULT current_timestamp\(6\)$` // MySQL wants the column's precision.
		}
		for _, column := range []string{"at", "seen"} {
			require.Regexp(t, now, columns[column])
		}

		indexes := strings.Join(cat.indexes("things"), "\n")
		require.Contains(t, indexes, "ix_things_state_score(state,score)")
		require.NotContains(t, indexes, "ix_things_state_score(state,score) unique")
		require.Contains(t, indexes, "ix_things_order_at(order,at) unique")
		require.Contains(t, indexes, "by_score(score)")
		require.Regexp(t, `\(code\) unique`, indexes)

		insertDefaults(t, x, s, table)
	})
}

// insertDefaults makes two rows that leave the defaults to the database.
func insertDefaults(t *testing.T, x *echobun.Extension, s *echobun.Session, table *echobun.Table) {
	t.Helper()
	ctx, _ := newSession(t, x)
	for _, code := range []string{"one", "two"} {
		_, err := s.NewInsert().Table(table).Model(&map[string]any{"code": code}).Exec(ctx)
		require.NoError(t, err)
	}
	_, err := s.NewInsert().Table(table).Model(&map[string]any{"code": "two"}).Exec(ctx)
	require.ErrorIs(t, err, echobun.ErrUnique)

	var rows []struct {
		ID    int64
		State string
		Score int
		At    time.Time
	}
	require.NoError(t, s.NewSelect().Table(table).Column("id", "state", "score", "at").Order("id").Scan(ctx, &rows))
	require.Len(t, rows, 2)
	require.Equal(t, []int64{1, 2}, []int64{rows[0].ID, rows[1].ID})
	require.Equal(t, "new, or (not)?", rows[0].State)
	require.Equal(t, 42, rows[0].Score)
	require.WithinDuration(t, time.Now(), rows[0].At, time.Minute)
}

func TestCompositeKeys(t *testing.T) {
	t.Parallel()
	table := &echobun.Table{
		Name: "memberships",
		Columns: []echobun.Column{
			{Name: "user_id", Type: echobun.BigInteger, PrimaryKey: true},
			{Name: "group_id", Type: echobun.BigInteger, PrimaryKey: true},
		},
	}
	type Edge struct {
		From int64 `bun:",pk"`
		To   int64 `bun:",pk"`
	}
	perDatabase(t, []any{table, (*Edge)(nil)}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		cat := catalogueOf(t, x.Engines(), "")
		for _, name := range []string{"memberships", "edges"} {
			for column, is := range cat.columns(name) {
				require.Contains(t, is, "PK", "%s.%s", name, column)
			}
		}

		for _, row := range []map[string]any{{"user_id": 1, "group_id": 1}, {"user_id": 1, "group_id": 2}} {
			_, err := s.NewInsert().Table(table).Model(&row).Exec(ctx)
			require.NoError(t, err)
		}
		_, err := s.NewInsert().Table(table).Model(&map[string]any{"user_id": 1, "group_id": 2}).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnique)
	})
}

// Default names are cut where a database would refuse them, and stay different.
func TestLongIndexNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("c", 60)
	table := &echobun.Table{
		Name: strings.Repeat("t", 63),
		Columns: []echobun.Column{
			{Name: "id", Type: echobun.Integer, PrimaryKey: true},
			{Name: long + "a", Type: echobun.Integer},
			{Name: long + "b", Type: echobun.Integer},
		},
		Indexes: []echobun.Index{{Columns: []string{long + "a"}}, {Columns: []string{long + "b"}}},
	}
	perDatabase(t, []any{table}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, _ := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		indexes := catalogueOf(t, x.Engines(), "").indexes(table.Name)
		require.Len(t, indexes, 2)
		for _, index := range indexes {
			name, _, _ := strings.Cut(index, "(")
			require.Len(t, name, 63)
		}
		// The names are the same each time, or the second call would miss them.
		require.NoError(t, x.CreateAll(ctx))
	})
}
