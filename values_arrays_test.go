package echobun_test

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// A badge has a form as text, as a UUID has.
type badge [16]byte

func (k badge) MarshalText() ([]byte, error) { return []byte("t-" + hex.EncodeToString(k[:])), nil }

func (k *badge) UnmarshalText(text []byte) error {
	if len(text) != 34 {
		return errors.New("no badge")
	}
	_, err := hex.Decode(k[:], text[2:])
	return err
}

// A seal says itself how it is written and read.
type seal [4]byte //nolint:recvcheck // Value is of the value, as for any Valuer, and Scan of a pointer.

func (s seal) Value() (driver.Value, error) { return fmt.Sprintf("seal %x", s[:]), nil }

func (s *seal) Scan(src any) error {
	var b []byte
	_, err := fmt.Sscanf(fmt.Sprintf("%s", src), "seal %x", &b)
	copy(s[:], b)
	return err
}

// stampedThing has arrays of bytes of every kind.
type stampedThing struct {
	bun.BaseModel `bun:"stamped"`

	ID       int64  `bun:",pk"`
	Bytes    badge  // In a column of bytes, as any other array.
	Text     badge  `bun:"type:varchar(40)"`
	Pointer  *badge `bun:"type:varchar(40)"`
	Nothing  *badge `bun:"type:varchar(40)"`
	Sealed   seal   `bun:"type:varchar(40)"`
	Plain    [255]byte
	Long     [256]byte
	Longer   [4000]byte
	Longest  [70000]byte
	Optional *[300]byte
}

// TestArraysOfBytes writes and reads them: by their methods where they have some
// and the column is one of text.
func TestArraysOfBytes(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*stampedThing)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		want := stampedThing{ID: 1, Bytes: badge{1, 15: 2}, Text: badge{0, 39, 92}, Pointer: &badge{3}, Sealed: seal{4, 5, 0, 6}, Optional: new([300]byte)}
		want.Plain[254], want.Long[255], want.Longer[3999], want.Longest[69999], want.Optional[299] = 1, 2, 3, 4, 5
		require.NoError(t, ran(db.NewInsert().Model(&want).Exec(ctx)))
		var got stampedThing
		require.NoError(t, db.NewSelect().Model(&got).Where("id = 1").Scan(ctx))
		require.Equal(t, want, got)
		for column, text := range map[string]string{"text": "t-00275c00000000000000000000000000", "sealed": "seal 04050006"} {
			var n int
			require.NoError(t, db.NewRaw("SELECT count(*) FROM stamped WHERE ? = ?", bun.Ident(column), text).Scan(ctx, &n))
			require.Equal(t, 1, n, column)
		}
	})
}

// TestArrayOfSmallNumbers is one of PostgreSQL's, and no bytes.
func TestArrayOfSmallNumbers(t *testing.T) {
	t.Parallel()
	type dice struct {
		ID   int64    `bun:",pk"`
		Eyes [4]uint8 `bun:",array"`
		More [2]uint8 `bun:"type:smallint[]"`
	}
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.Postgres(t).URL()}, (*dice)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	want := dice{1, [4]uint8{1, 2, 3, 255}, [2]uint8{7, 8}}
	require.NoError(t, ran(db.NewInsert().Model(&want).Exec(ctx)))
	var got dice
	require.NoError(t, db.NewSelect().Model(&got).Scan(ctx))
	require.Equal(t, want, got)
	var sum int
	require.NoError(t, db.NewRaw("SELECT eyes[4] + more[1] FROM dices").Scan(ctx, &sum))
	require.Equal(t, 262, sum)
}
