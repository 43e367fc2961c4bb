package echobun_test

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// oddField is a model with a field of any type.
type oddField[T any] struct {
	bun.BaseModel `bun:"table:odd_fields"`

	ID  int64 `bun:",pk"`
	Odd T
}

// leftOut has what no column can hold, and says so.
type leftOut struct {
	ID   int64       `bun:",pk"`
	Done chan int    `bun:"-"`
	Call func()      `bun:"-"`
	Pair *complex128 `bun:"-"`
}

// A UUID is as the packages of UUIDs have it.
type UUID [16]byte //nolint:recvcheck // As in google/uuid: Value is of the value, Scan of a pointer.

// Value writes it as text.
func (u UUID) Value() (driver.Value, error) {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]), nil
}

// Scan reads it.
func (u *UUID) Scan(src any) error {
	text := strings.ReplaceAll(fmt.Sprintf("%s", src), "-", "")
	_, err := hex.Decode(u[:], []byte(text))
	return err
}

// A NullUUID may be null.
type NullUUID struct { //nolint:recvcheck // As in google/uuid: Value is of the value, Scan of a pointer.
	UUID  UUID
	Valid bool
}

// Value writes it as text.
func (n NullUUID) Value() (driver.Value, error) {
	if !n.Valid {
		return nil, nil
	}
	return n.UUID.Value()
}

// Scan reads it.
func (n *NullUUID) Scan(src any) error {
	*n = NullUUID{}
	if src == nil {
		return nil
	}
	n.Valid = true
	return n.UUID.Scan(src)
}

// uuidRow gives none of its UUIDs a type.
type uuidRow struct {
	bun.BaseModel `bun:"table:uuid_rows"`

	ID    UUID `bun:",pk"`
	Ptr   *UUID
	Null  NullUUID
	Maybe sql.Null[UUID]
	Typed UUID `bun:"type:varchar(40)"`
}

func TestFieldsThatNoColumnHolds(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t)
	x := newExtension(t, cfg, (*leftOut)(nil))
	ctx, db := newSession(t, x)
	for _, model := range []any{
		&oddField[chan int]{}, &oddField[func()]{}, &oddField[complex128]{}, &oddField[complex64]{}, &oddField[*chan int]{Odd: new(chan int)},
		&oddField[uintptr]{},
	} {
		requireModelError(t, x.Register(model), "field Odd: a ", "%T", model)
		_, err := db.NewInsert().Model(model).Exec(ctx) // It is not registered.
		requireModelError(t, err, "field Odd: a ", "%T", model)
		_, err = x.Engine().NewInsert().Model(model).Exec(ctx)
		requireModelError(t, err, `bun:"-"`, "%T", model)
		_, err = db.NewUpdate().Model(model).WherePK().Exec(ctx)
		requireModelError(t, err, "field Odd: a ", "%T", model)
	}
	require.NoError(t, x.CreateAll(ctx))
	_, err := db.NewInsert().Model(&leftOut{ID: 1}).Exec(ctx)
	require.NoError(t, err)
}

func TestFieldsWithoutAColumnType(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"PostgreSQL": dbtest.Postgres(t).URL(), "MariaDB": dbtest.MariaDB(t).URL()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: url})
			requireModelError(t, x.Register((*oddField[any])(nil)), `field Odd: nothing says which column type a interface {} has`)
			requireModelError(t, x.Register((*oddField[fmt.Stringer])(nil)), `bun:"type:json"`)

			yes := true
			x = newExtension(t, echobun.Config{DatabaseURI: url, EngineOptions: echobun.EngineOptions{Unmanaged: yes}})
			require.NoError(t, x.Register((*oddField[any])(nil)), "CreateAll does not make its table")
		})
	}
}

func TestUUIDsWithoutATag(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*uuidRow)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		id := UUID{0xab, 2, 3, 15: 9}
		rows := []uuidRow{
			{ID: id, Ptr: &id, Null: NullUUID{id, true}, Maybe: sql.Null[UUID]{V: id, Valid: true}, Typed: id},
			{ID: UUID{}, Typed: id},
		}
		_, err := db.NewInsert().Model(&rows).Exec(ctx)
		require.NoError(t, err)
		if x.Engine().Dialect().Name() != dialect.MySQL { // MariaDB knows no VALUES list in a CTE.
			rows[1].Ptr = &id
			_, err = db.NewUpdate().Model(&rows).Column("ptr").Bulk().Exec(ctx)
			require.NoError(t, err)
		}
		var read []uuidRow
		require.NoError(t, db.NewSelect().Model(&read).Order("id DESC").Scan(ctx))
		require.Equal(t, rows, read)
		n, err := db.NewSelect().Model((*uuidRow)(nil)).Where("id = ?", id).Where("maybe = ?", id).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	})
}

func TestMisspelledTagsAreLogged(t *testing.T) {
	t.Parallel()
	type owner struct {
		ID int64 `bun:",pk"`
	}
	type misspelled struct {
		bun.BaseModel `bun:"table:misspelled,alis:m"`

		ID      int64  `bun:",pk,autoincremnt"`
		Name    string `bun:"unique"`
		Default string `bun:"default"`
		OwnerID int64
		Owner   *owner `bun:"rel:belongs-to,jion:owner_id=id"`
	}
	var log bytes.Buffer
	cfg, _ := sqliteBinds(t)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	x := newExtension(t, cfg, (*owner)(nil), (*misspelled)(nil), (*misspelled)(nil))
	require.NoError(t, x.Register((*misspelled)(nil)))
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	for _, says := range []string{"misspelled", "autoincremnt", "jion", "alis", "Name: ", "without a comma before it"} {
		require.Contains(t, log.String(), says)
	}
	require.NotContains(t, log.String(), "Default")
}
