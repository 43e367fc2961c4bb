package echobun_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// Which texts are equal is the databases' affair, and docs/collations.md says
// what each does.
func TestCollationsAsDocumented(t *testing.T) {
	t.Parallel()
	for name, dsn := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: dsn(t)})
			ctx, s := newSession(t, x)
			require.NoError(t, ran(s.NewRaw("CREATE TABLE texts (plain varchar(20), exact varchar(20)"+
				map[string]string{"MariaDB": " COLLATE utf8mb4_bin"}[name]+")").Exec(ctx)))
			for stored, asked := range map[string]string{"JAKE": "jake", "résumé": "resume", "a ": "a"} {
				require.NoError(t, ran(s.NewRaw("INSERT INTO texts VALUES (?, ?)", stored, stored).Exec(ctx)))
				var plain, exact int
				require.NoError(t, s.NewRaw("SELECT count(*) FROM texts WHERE plain = ?", asked).Scan(ctx, &plain))
				require.NoError(t, s.NewRaw("SELECT count(*) FROM texts WHERE exact = ?", asked).Scan(ctx, &exact))
				require.Equal(t, name == "MariaDB", plain == 1, "%q = %q", stored, asked)
				require.Equal(t, name == "MariaDB" && stored == "a ", exact == 1, "%q = %q, which is padded", stored, asked)
			}
		})
	}
}
