package echobun_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// TestConfigOfAWholeApp reads an app.config in which keys of SQLAlchemy's are
// mistyped: those are errors, and those of Flask are none.
func TestConfigOfAWholeApp(t *testing.T) {
	t.Parallel()
	for library, unmarshal := range libraries {
		var cfg echobun.Config
		err := unmarshal([]byte(`{"DEBUG": true, "SECRET_KEY": "s3cr3t", "SESSION_COOKIE_NAME": "s3cr3t", "CELERY_BROKER_URL": "s3cr3t",
			"SQLALCHEMY_BIND": "s3cr3t", "SQLALCHMY_BINDS": {}, "DATABASE_URI": "s3cr3t",
			"SQLALCHEMY_BINDS": {"a": {"DEBUG": 1, "url": "a://"}}}`), &cfg)
		var got []string
		for _, fault := range faults(t, err) {
			got = append(got, fault.Bind+"/"+fault.Field)
		}
		require.ElementsMatch(t, []string{"/SQLALCHEMY_BIND", "/SQLALCHMY_BINDS", "/DATABASE_URI", "a/DEBUG"}, got, library)
		require.NotContains(t, err.Error(), "s3cr3t")
	}
}
