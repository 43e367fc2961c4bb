package echobun_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// What is read into an any stays what it was, whatever the connection reads
// after it: go-sql-driver lends its bytes, and Bun keeps them.
func TestAnyKeepsItsText(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*valued)(nil)}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, db := newSchema(t, x)
		rows := make([]valued, 300)
		for i := range rows {
			rows[i] = valued{int64(i + 1), strings.Repeat(strconv.Itoa(i%10), 100+i%50)}
		}
		_, err := db.NewInsert().Model(&rows).Exec(ctx)
		require.NoError(t, err)

		read := func(db bun.IDB) error {
			var texts, again []any
			if err := db.NewSelect().Model((*valued)(nil)).Column("text").Order("id").Scan(ctx, &texts); err != nil {
				return err
			}
			if err := db.NewRaw("SELECT text, text FROM valueds ORDER BY id").Scan(ctx, &again, new([]string)); err != nil {
				return err
			}
			var one any
			if err := db.NewRaw("SELECT text FROM valueds WHERE id = 7").Scan(ctx, &one); err != nil {
				return err
			}
			if _, err := db.NewSelect().Model((*valued)(nil)).Where("id > 7").Count(ctx); err != nil {
				return err
			}
			require.Len(t, texts, len(rows))
			for i := range rows {
				require.Equal(t, rows[i].Text, fmt.Sprintf("%s", texts[i]))
				require.Equal(t, rows[i].Text, fmt.Sprintf("%s", again[i]))
			}
			require.Equal(t, rows[6].Text, fmt.Sprintf("%s", one))
			return nil
		}
		require.NoError(t, read(db.Bind("")))
		require.NoError(t, read(x.Engine()))
		require.NoError(t, db.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error { return read(tx.Bind("")) }))
		require.NoError(t, x.Engine().RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error { return read(tx) }))
	})
}
