package sqltext_test

import (
	"testing"

	"github.com/echobun/echobun/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
