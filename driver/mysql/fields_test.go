package mysql_test

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
)

type moments struct {
	ID       int64     `bun:",pk,autoincrement"`
	At       time.Time `bun:",notnull"`
	Pointer  *time.Time
	Bun      bun.NullTime
	SQL      sql.NullTime
	Generic  sql.Null[time.Time]
	Stamp    time.Time `bun:"type:timestamp,nullzero"`
	Declared time.Time `bun:"type:DATETIME NULL"`
	Millis   time.Time `bun:"type:datetime(3),nullzero,notnull,default:current_timestamp"`
	Seconds  time.Time `bun:"type:datetime(0),nullzero,notnull,default:current_timestamp"`
	Created  time.Time `bun:",nullzero,notnull,default:current_timestamp"`
	Changed  time.Time `bun:",nullzero,notnull,default:now() on update current_timestamp()"`
	Exact    time.Time `bun:",nullzero,notnull,default:current_timestamp(6)"`
	Deleted  time.Time `bun:",soft_delete,nullzero"`
}

// A time is written with its fraction, read with it and found by it.
func TestTimesKeepTheirFraction(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	_, err := db.NewCreateTable().Model((*moments)(nil)).Exec(t.Context())
	require.NoError(t, err)
	at := time.Date(2024, 1, 2, 3, 4, 5, 999999000, time.UTC)
	in := &moments{
		At: at, Pointer: &at, Bun: bun.NullTime{Time: at}, SQL: sql.NullTime{Time: at, Valid: true},
		Generic: sql.Null[time.Time]{V: at, Valid: true}, Stamp: at, Declared: at, Millis: at.Truncate(time.Millisecond),
	}
	_, err = db.NewInsert().Model(in).Exec(t.Context())
	require.NoError(t, err)
	out := new(moments)
	require.NoError(t, db.NewSelect().Model(out).Where("at = ? AND pointer = ? AND generic = ?", at, at, at).Scan(t.Context()))
	require.Equal(t, at, out.At)
	require.Equal(t, at, *out.Pointer)
	require.Equal(t, in.Bun, out.Bun)
	require.Equal(t, in.SQL, out.SQL)
	require.Equal(t, in.Generic, out.Generic)
	require.Equal(t, at, out.Stamp)
	require.Equal(t, at, out.Declared)
	require.Equal(t, in.Millis, out.Millis)
	for _, now := range []time.Time{out.Seconds, out.Created, out.Changed, out.Exact} {
		require.WithinDuration(t, time.Now(), now, time.Minute)
	}

	_, err = db.NewDelete().Model(out).WherePK().Exec(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.NewSelect().Model(out).WherePK().WhereDeleted().Scan(t.Context()))
	for column, want := range map[string]int{"at": 6, "stamp": 6, "declared": 6, "millis": 3, "seconds": 0, "created": 6, "deleted": 6} {
		digits := value[int](t, db, "SELECT DATETIME_PRECISION FROM information_schema.COLUMNS "+
			"WHERE TABLE_SCHEMA = DATABASE() AND COLUMN_NAME = ?", column)
		require.Equal(t, want, digits, column)
	}
}

type switches struct {
	ID      int64        `bun:",pk,autoincrement"`
	Flag    bool         `bun:"type:bit(1)"`
	Pointer *bool        `bun:"type:bit(1)"`
	Null    sql.NullBool `bun:"type:bit(1)"`
	Plain   bool
	Bits    uint8  `bun:"type:bit(8)"`
	Many    uint64 `bun:"type:bit(64)"`
	Bytes   []byte `bun:"type:bit(16)"`
}

// The bytes of a BIT are a number, and not the digits of one.
func TestBits(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	_, err := db.NewCreateTable().Model((*switches)(nil)).Exec(t.Context())
	require.NoError(t, err)
	yes := true
	for _, in := range []*switches{
		{Bytes: []byte{0, 0}},
		{Flag: true, Pointer: &yes, Null: sql.NullBool{Bool: true, Valid: true}, Plain: true, Bits: '1', Many: math.MaxUint64, Bytes: []byte("12")},
		{Bits: 255, Many: 0x3132333435363738, Bytes: []byte{0xff, 0}},
	} {
		_, err := db.NewInsert().Model(in).Exec(t.Context())
		require.NoError(t, err)
		out := &switches{ID: in.ID}
		require.NoError(t, db.NewSelect().Model(out).WherePK().Where("flag = ?", in.Flag).Where("bits = ?", in.Bits).Scan(t.Context()))
		require.Equal(t, in, out)
	}
}

type weights struct {
	ID      int64 `bun:",pk,autoincrement"`
	Single  float32
	Double  float64
	Pointer *float64
}

// Every float comes back as it was, and is found by its value.
func TestFloats(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	_, err := db.NewCreateTable().Model((*weights)(nil)).Exec(t.Context())
	require.NoError(t, err)
	var values []float64
	for e := -307; e <= 308; e += 5 {
		values = append(values, 1.2345678901234567*math.Pow10(e), -9.87654321e-1*math.Pow10(e))
	}
	values = append(values, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 2.3e-308, 1.5e100, 3e-120, 1<<53, 5.320205950193257e+17, 0.1, 0)
	for _, v := range values {
		in := &weights{Double: v, Pointer: &v}
		_, err := db.NewInsert().Model(in).Exec(t.Context())
		require.NoError(t, err, v)
		out := new(weights)
		require.NoError(t, db.NewSelect().Model(out).Where("id = ?", in.ID).
			Where("? = ? AND pointer = ?", bun.Ident("double"), v, v).Scan(t.Context()), "%v", v)
		require.Equal(t, in, out)
	}
	for _, v := range []float32{math.MaxFloat32, math.SmallestNonzeroFloat32, 0.1, 16777216, 1e-20, 3e30} {
		in := &weights{Single: v}
		_, err := db.NewInsert().Model(in).Exec(t.Context())
		require.NoError(t, err, v)
		out := new(weights)
		require.NoError(t, db.NewSelect().Model(out).Where("id = ?", in.ID).Where("single = ?", v).Scan(t.Context()), "%v", v)
		require.Equal(t, in, out)
	}
}

// What is no number is refused before anything is stored, also where the sql_mode is not strict.
func TestNotFiniteIsRefused(t *testing.T) {
	t.Parallel()
	db := fresh(t, "strict", "false", "sql_mode", "NO_ENGINE_SUBSTITUTION")
	_, err := db.NewCreateTable().Model((*weights)(nil)).Exec(t.Context())
	require.NoError(t, err)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, in := range []*weights{{Double: v}, {Pointer: &v}, {Single: float32(v)}} {
			_, err := db.NewInsert().Model(in).Exec(t.Context())
			require.Error(t, err)
			require.NotPanics(t, func() { _, err = db.NewUpdate().Model(in).Where("1 = 1").Exec(t.Context()) })
			require.Error(t, err)
		}
	}
	require.Zero(t, value[int](t, db, "SELECT count(*) FROM weights"))
}

type clocks struct {
	ID      int64   `bun:",pk,autoincrement"`
	Clock   string  `bun:"type:time"`
	Pointer *string `bun:"type:TIME"`
	Whole   string  `bun:"type:time(0)"`
	Sure    string  `bun:"type:Time NOT NULL DEFAULT '00:00:00',nullzero"`
	Single  float32 `bun:"type:float"`
	Double  float64 `bun:"type:FLOAT"`
	Some    float64 `bun:"type:float not null"`
}

// A time of day keeps its fraction, and a FLOAT its digits.
func TestClocksAndFloatsKeepTheirDigits(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	_, err := db.NewCreateTable().Model((*clocks)(nil)).Exec(t.Context())
	require.NoError(t, err)
	for _, clock := range []string{"12:34:56", "12:34:56.7", "12:34:56.123456", "00:00:00", "-12:30:00.5", "838:59:59"} {
		in := &clocks{Clock: clock, Pointer: &clock, Whole: "10:20:30", Single: 16777215, Double: 123456789.123}
		_, err = db.NewInsert().Model(in).Exec(t.Context())
		require.NoError(t, err)
		out := &clocks{ID: in.ID}
		require.NoError(t, db.NewSelect().Model(out).WherePK().Where("clock = ? AND single = ?", clock, in.Single).Scan(t.Context()))
		require.Equal(t, in, out)
	}
}

// The current time has as many digits as its column, wherever it is written and
// however, and nothing in quotes is taken for it.
func TestCurrentTimesFitTheirColumns(t *testing.T) {
	t.Parallel()
	type row struct {
		bun.BaseModel `bun:"table:currents"`

		ID       int64     `bun:",pk,autoincrement"`
		Text     string    `bun:"type:varchar(40)"`
		Stamp    time.Time `bun:"type:timestamp not null default current_timestamp on update current_timestamp,nullzero"`
		Upper    time.Time `bun:"type:TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE NOW(),nullzero"`
		Local    time.Time `bun:"type:datetime not null default localtime on update LocalTimestamp(),nullzero"`
		Calls    time.Time `bun:"type:datetime(3) not null default localtimestamp on update localtime(),nullzero"`
		Seconds  time.Time `bun:"type:datetime(0) not null default now() on update current_timestamp,nullzero"`
		Exact    time.Time `bun:"type:datetime(6) not null default now(6) on update now(6),nullzero"`
		Behind   time.Time `bun:"type:datetime(3),nullzero,notnull,default:Now() ON UPDATE LOCALTIME"`
		Plain    string    `bun:"type:datetime not null default current_timestamp on update current_timestamp,nullzero"`
		Digits   string    `bun:"type:datetime(2) not null default current_timestamp on update current_timestamp,nullzero"`
		Comment  time.Time `bun:"type:datetime comment 'of now() the current_timestamp''s \\' localtime',nullzero"`
		Computed time.Time `bun:"type:datetime(3) not null default (current_timestamp + interval 1 hour),nullzero"`
	}
	db := fresh(t)
	_, err := db.NewCreateTable().Model((*row)(nil)).Exec(t.Context())
	require.NoError(t, err)
	in := &row{Text: "a"}
	_, err = db.NewInsert().Model(in).Exec(t.Context())
	require.NoError(t, err)
	_, err = db.NewUpdate().Model(in).Column("text").WherePK().Exec(t.Context())
	require.NoError(t, err)
	for column, want := range map[string]int{
		"stamp": 6, "upper": 3, "local": 6, "calls": 3, "seconds": 0, "exact": 6, "behind": 3, "plain": 0, "digits": 2, "comment": 6, "computed": 3,
	} {
		digits := value[int](t, db, "SELECT DATETIME_PRECISION FROM information_schema.COLUMNS "+
			"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'currents' AND COLUMN_NAME = ?", column)
		require.Equal(t, want, digits, column)
	}
	require.Equal(t, "of now() the current_timestamp's ' localtime", value[string](t, db, "SELECT COLUMN_COMMENT FROM information_schema.COLUMNS "+
		"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'currents' AND COLUMN_NAME = 'comment'"))
}

// A measure is NULL where there is none.
type measure float64

func (m measure) Value() (sqldriver.Value, error) {
	if math.IsNaN(float64(m)) {
		return nil, nil
	}
	return float64(m), nil
}

// A ratio is a float, which may be none.
type ratio struct{ over, under float64 }

func (r ratio) Value() (sqldriver.Value, error) { return r.over / r.under, nil }

// A named value writes its own words.
type words float64

func (words) Value() (sqldriver.Value, error) { return "NaN", nil }

// What is no number is told by what a value is written as.
func TestNotFiniteIsWhatIsWritten(t *testing.T) {
	t.Parallel()
	type row struct {
		bun.BaseModel `bun:"table:measures"`

		ID      int64    `bun:",pk,autoincrement"`
		Measure measure  `bun:"type:double"`
		Pointer *measure `bun:"type:double"`
		Words   words    `bun:"type:varchar(9)"`
		Text    any      `bun:"type:varchar(9)"`
		Ratio   ratio    `bun:"type:double"`
		Null    sql.NullFloat64
		Generic sql.Null[float32]
		Any     any `bun:"type:double"`
	}
	db := fresh(t, "strict", "false", "sql_mode", "NO_ENGINE_SUBSTITUTION")
	_, err := db.NewCreateTable().Model((*row)(nil)).Exec(t.Context())
	require.NoError(t, err)
	none := measure(math.NaN())
	one := ratio{1, 1}
	_, err = db.NewInsert().Model(&row{Measure: none, Pointer: &none, Text: "NaN", Ratio: one, Any: 1.5}).Exec(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, value[int](t, db, "SELECT count(*) FROM measures WHERE measure IS NULL AND pointer IS NULL AND words = 'NaN' AND text = 'NaN'"))
	infinite := math.Inf(-1)
	for _, bad := range []*row{
		{Ratio: ratio{}},
		{Ratio: ratio{1, 0}},
		{Ratio: one, Null: sql.NullFloat64{Float64: math.NaN(), Valid: true}},
		{Ratio: one, Measure: measure(math.Inf(1))},
		{Ratio: one, Generic: sql.Null[float32]{V: float32(math.Inf(-1)), Valid: true}},
		{Ratio: one, Any: math.NaN()},
		{Ratio: one, Any: &infinite},
	} {
		require.Contains(t, db.NewInsert().Model(bad).String(), "?!(mysql: NaN and infinite numbers cannot be stored")
	}
}
