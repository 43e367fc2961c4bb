package echobun_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// actionRow has a table of its own with the columns of the audit log.
type actionRow struct {
	bun.BaseModel `bun:"table:action_rows"`

	ID     int64  `bun:",pk,autoincrement"`
	UserID int64  `bun:",notnull"`
	Action string `bun:"type:varchar(80),notnull"`
}

// sameLog is a struct for the audit log's own table.
type sameLog struct {
	bun.BaseModel `bun:"table:audit_log"`

	ID     int64
	UserID int64
	Action string
}

// metaAction is a model of another bind.
type metaAction struct {
	bun.BaseModel `bun:"table:audit_log"`
	metaModel

	ID     int64 `bun:",pk"`
	Action string
}

func requireModelError(t *testing.T, err error, says string, msg ...any) {
	t.Helper()
	var modelErr *echobun.ModelError
	require.ErrorAs(t, err, &modelErr, msg...)
	require.ErrorContains(t, err, says, msg...)
}

// auditActions are the actions in a log, in the order of their keys.
func auditActions(ctx context.Context, t *testing.T, db *echobun.Session, log *echobun.Table) (actions []string) {
	t.Helper()
	require.NoError(t, db.NewSelect().Table(log).Column("action").Order("id").Scan(ctx, &actions))
	return actions
}

// Bun copies one table into the other, joins them or empties both.
func TestTableWithAStructIsRefused(t *testing.T) {
	t.Parallel()
	withAuditLog(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session, log *echobun.Table) {
		require.NoError(t, x.Register((*actionRow)(nil)))
		require.NoError(t, x.CreateAll(ctx))
		own := &actionRow{ID: 1, UserID: 1, Action: "kept"}
		_, err := db.NewInsert().Model(own).Exec(ctx)
		require.NoError(t, err)

		for what, model := range map[string]any{
			"struct": &actionRow{ID: 1, UserID: 5, Action: "x"}, "nil": (*actionRow)(nil), "slice": &[]actionRow{{ID: 1, UserID: 5}},
			"no elements": new([]actionRow), "pointers": &[]*actionRow{own}, "interfaces": &[]any{own},
			"same table": &sameLog{ID: 1, Action: "x"}, "another bind": &metaAction{ID: 1, Action: "x"},
		} {
			for builder, run := range structRuns(ctx, db, log, model) {
				requireModelError(t, run(), "", "%s: %s", builder, what)
			}
		}
		require.Equal(t, []string{"login", "post", "logout"}, auditActions(ctx, t, db, log))
		var rows []actionRow
		require.NoError(t, db.NewSelect().Model(&rows).Scan(ctx))
		require.Equal(t, []actionRow{*own}, rows)
	})
}

// structRuns are the queries that can begin with a Table, with a struct.
func structRuns(ctx context.Context, db *echobun.Session, log *echobun.Table, model any) map[string]func() error {
	exec := func(q interface {
		Exec(ctx context.Context, dest ...any) (sql.Result, error)
	},
	) error {
		_, err := q.Exec(ctx)
		return err
	}
	return map[string]func() error{
		"insert": func() error { return exec(db.NewInsert().Table(log).Model(model)) },
		"returns": func() error {
			return db.NewInsert().Table(log).Model(model).Returning("*").Scan(ctx, new(map[string]any))
		},
		"update":   func() error { return exec(db.NewUpdate().Table(log).Model(model).Set("action = 'x'").Where("1 = 1")) },
		"delete":   func() error { return exec(db.NewDelete().Table(log).Model(model).Where("1 = 1")) },
		"truncate": func() error { return exec(db.NewTruncateTable().Table(log).Model(model)) },
		"drop":     func() error { return exec(db.NewDropTable().Table(log).Model(model)) },
		"select":   func() error { return db.NewSelect().Table(log).Model(model).Scan(ctx) },
		"exec":     func() error { return exec(db.NewSelect().Table(log).Model(model)) },
		"count":    func() error { _, err := db.NewSelect().Table(log).Model(model).Count(ctx); return err },
		"exists":   func() error { _, err := db.NewSelect().Table(log).Model(model).Exists(ctx); return err },
	}
}

// What Bun's users mean by a second table stays, and so do structs to read into.
func TestTablesByTextWithAStruct(t *testing.T) {
	t.Parallel()
	withAuditLog(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session, log *echobun.Table) {
		require.NoError(t, x.Register((*actionRow)(nil)))
		require.NoError(t, x.CreateAll(ctx))
		var read []actionRow
		require.NoError(t, db.NewSelect().Table(log).Order("id").Scan(ctx, &read))
		require.Len(t, read, 3)

		_, err := db.NewInsert().Model(&read).Table("audit_log").Exec(ctx)
		requireModelError(t, err, "stores nothing of the model")
		_, err = db.NewInsert().Model(&actionRow{Action: "lost"}).Table("audit_log").Exec(ctx)
		requireModelError(t, err, "stores nothing of the model")
		_, err = x.Engine().NewInsert().Model(&actionRow{Action: "lost"}).Table("audit_log").Exec(ctx)
		requireModelError(t, err, "stores nothing of the model")

		_, err = db.NewInsert().Model((*actionRow)(nil)).Table("audit_log").Exec(ctx)
		require.NoError(t, err)
		// What is to be read into may have been set, by a hook for instance: it is sent.
		_, err = db.NewInsert().Model(&read).Table("audit_log").Returning("*").Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnique)
		n, err := db.NewSelect().Model((*actionRow)(nil)).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		n, err = db.NewSelect().Model((*actionRow)(nil)).Table("audit_log").Where("audit_log.id = action_row.id").Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
	})
}

// Bun makes no INSERT of a slice of maps.
func TestInsertOfMaps(t *testing.T) {
	t.Parallel()
	withAuditLog(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session, log *echobun.Table) {
		rows := []map[string]any{{"user_id": 7, "action": "a'); --"}, {"user_id": 8, "action": "b"}, {"user_id": 9, "action": bun.Safe("'c'")}}
		q := db.NewInsert().Table(log).Model(&rows)
		res, err := q.Exec(ctx)
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		require.Equal(t, &rows, q.GetModel().Value())
		require.Len(t, rows, 3)

		rows = []map[string]any{{"user_id": 10, "action": "d"}, {"user_id": 11, "action": "e"}}
		require.Equal(t, q.String(), q.String())
		_, err = q.Exec(ctx) // The same builder, with what the slice has now.
		require.NoError(t, err)
		require.Equal(t, []string{"login", "post", "logout", "a'); --", "b", "c", "d", "e"}, auditActions(ctx, t, db, log))

		back := []map[string]any{{"user_id": 12, "action": "f"}, {"user_id": 13, "action": "g"}}
		_, err = db.NewInsert().Table(log).Model(&back).Returning("user_id, action").Exec(ctx)
		require.NoError(t, err)
		require.Equal(t, []map[string]any{{"user_id": int64(12), "action": "f"}, {"user_id": int64(13), "action": "g"}}, back)

		one := []map[string]any{{"user_id": 14, "action": "h"}}
		var keys []int64
		require.NoError(t, db.NewInsert().Table(log).Model(&one).Returning("id").Scan(ctx, &keys))
		require.Len(t, keys, 1)

		err = db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			_, err := tx.NewInsert().Table(log).Model(&[]map[string]any{{"user_id": 15, "action": "i"}, {"user_id": 15, "action": "i"}}).Exec(ctx)
			return err
		})
		require.ErrorIs(t, err, echobun.ErrUnique)
		require.Len(t, auditActions(ctx, t, db, log), 11)
	})
}

func TestInsertOfMapsIsRefused(t *testing.T) {
	t.Parallel()
	withAuditLog(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session, log *echobun.Table) {
		for says, rows := range map[string][]map[string]any{
			"an empty slice of maps":              {},
			"maps without a key":                  {{}, {}},
			"maps without a key: give":            {nil},
			`index 1 has no "action"`:             {{"user_id": 1, "action": "a"}, {"user_id": 2}},
			"index 1 has keys that index 0":       {{"user_id": 1}, {"user_id": 2, "action": "a"}},
			`index 2 has no "action", which inde`: {{"user_id": 1, "action": "a"}, {"user_id": 2, "action": "a"}, nil},
		} {
			_, err := db.NewInsert().Table(log).Model(&rows).Exec(ctx)
			requireModelError(t, err, says)
			requireModelError(t, db.NewInsert().Table(log).Model(&rows).Returning("id").Scan(ctx, new(int64)), says)
			again := db.NewInsert().Table(log).Model(&rows)
			_ = again.String() // What looks at a statement makes it too.
			for range 2 {
				requireModelError(t, ran(again.Exec(ctx)), says)
			}
		}
		_, err := db.NewInsert().Table(log).Exec(ctx)
		requireModelError(t, err, "without a row")
		_, err = db.NewInsert().Model(&[]map[string]any{{"action": "a"}}).Table("audit_log").Exec(ctx)
		requireModelError(t, err, "begin with NewInsert().Table(table)")
		require.Len(t, auditActions(ctx, t, db, log), 3)

		_, err = db.NewInsert().Table(log).Table("audit_log").Where("1 = 0").Exec(ctx) // It copies, as Bun has it.
		require.ErrorIs(t, err, echobun.ErrUnique)
	})
}

func TestInsertOfAnEmptyMap(t *testing.T) {
	t.Parallel()
	perDatabase(t, nil, func(t *testing.T, x *echobun.Extension) {
		plain := &echobun.Table{Name: "plain_rows", Columns: []echobun.Column{
			{Name: "id", Type: echobun.BigInteger, PrimaryKey: true, AutoIncrement: true}, {Name: "n", Type: echobun.Integer, Default: "5"},
		}}
		require.NoError(t, x.Register(plain))
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		var none map[string]any
		for _, row := range []*map[string]any{{}, &none} {
			_, err := db.NewInsert().Table(plain).Model(row).Exec(ctx)
			require.NoError(t, err)
		}
		_, err := db.NewInsert().Table(plain).Model(&map[string]any{}).Returning("n").Exec(ctx)
		require.NoError(t, err)
		var rows []int
		require.NoError(t, db.NewSelect().Table(plain).Column("n").Scan(ctx, &rows))
		require.Equal(t, []int{5, 5, 5}, rows)
	})
}
