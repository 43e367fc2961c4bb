package sqltext

import (
	"strings"
	"sync"

	"github.com/echobun/echobun/internal/sqlwords"
)

// What a word that stands before a bracket is.
const (
	sign        = 1 << iota // No function, but a word of the language or a type.
	inPostgres              // A function of PostgreSQL's own that changes nothing.
	inMySQL                 // The same of MySQL and MariaDB.
	longestName = 32        // No word of the lists is longer.
)

// isHarmless reports whether a bracket behind a bare word calls nothing that
// may write. On MySQL a stored function can have the name of one of the server's
// own, and is meant where there is a space before the bracket.
func isHarmless(d sqlwords.Dialect, word string, space bool) bool {
	switch word {
	case "WHERE", "AND", "OR", "NOT", "IN", "AS", "ON", "FROM": // As Bun writes them: most brackets by far.
		return true
	}
	var lower [longestName]byte
	if len(word) > len(lower) {
		return false
	}
	for i := range len(word) {
		lower[i] = word[i]
		if 'A' <= word[i] && word[i] <= 'Z' {
			lower[i] |= 0x20
		}
	}
	kind := harmless()[string(lower[:len(word)])]
	switch {
	case kind&sign != 0:
		return true
	case d == sqlwords.Postgres:
		return kind&inPostgres != 0
	}
	return kind&inMySQL != 0 && !space
}

// harmless is what the lists have, for look-ups.
var harmless = sync.OnceValue(func() map[string]uint8 {
	known := make(map[string]uint8)
	for list, kind := range map[string]uint8{
		signs: sign, ofBoth: inPostgres | inMySQL, ofPostgres: inPostgres, ofMySQL: inMySQL,
	} {
		for word := range strings.FieldsSeq(list) {
			known[word] |= kind
		}
	}
	return known
})

// signs are the words that brackets follow on without a call. They are words of the
// language of PostgreSQL's or MySQL's.
const signs = `
all and any array as between binary bit by case cast char character columns convert cross cube datetime dec decimal
distinct div double else end escape except exists filter float for force from full group grouping having ignore ilike in index inner
integer intersect interval is join key lateral left like limit materialized mod national nchar not nullif numeric of offset on
only operator or order over partition precision repeatable returning right rlike rollup row select set sets signed similar
some system then time timestamp union unsigned use using values varbinary varchar varying when where within xor
`

// Functions of a database's own that write nothing, and that no version of the
// other kind lacks. They need not be all: behind one that is not here, the
// rows are read ahead. Those that change a sequence, a lock or a session are
// left out.
const (
	ofBoth = `
abs acos ascii asin atan atan2 avg bit_and bit_length bit_or ceil ceiling char_length character_length coalesce concat concat_ws
cos cot count cume_dist degrees dense_rank exp extract first_value floor greatest lag last_value lead least left length ln log lower
lpad ltrim max md5 min mod now nth_value ntile nullif octet_length percent_rank pi position power radians rank repeat replace
reverse right round row_number rpad rtrim sign sin sqrt stddev stddev_pop stddev_samp substr substring sum tan trim upper
var_pop var_samp variance version
`
	ofPostgres = `
age array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
array_prepend array_remove array_replace array_to_json array_to_string array_upper bool_and bool_or btrim cardinality cbrt chr
clock_timestamp convert_from convert_to corr current_database current_schema current_schemas current_setting date date_part date_trunc
decode encode every format generate_series generate_subscripts get_bit get_byte host initcap isfinite json_agg
json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each json_each_text
json_extract_path json_extract_path_text json_object json_object_agg json_object_keys json_strip_nulls json_to_record
json_to_recordset json_typeof jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object
jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array
jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days
justify_hours justify_interval lower_inc lower_inf make_date make_interval make_time make_timestamp make_timestamptz masklen mode
network num_nonnulls num_nulls overlay percentile_cont percentile_disc pg_backend_pid pg_column_size pg_database_size
pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_viewdef pg_indexes_size pg_is_in_recovery pg_relation_size pg_size_pretty
pg_sleep pg_table_is_visible pg_table_size pg_total_relation_size pg_typeof phraseto_tsquery plainto_tsquery quote_ident
quote_literal quote_nullable random regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
row_to_json scale set_bit set_byte set_masklen sha256 split_part starts_with statement_timestamp string_agg
string_to_array strpos timeofday timestamptz timezone to_ascii to_char to_date to_hex to_json to_jsonb to_number to_timestamp
to_tsquery to_tsvector transaction_timestamp translate trunc ts_headline ts_rank ts_rank_cd tsvector_to_array unnest upper_inc
upper_inf websearch_to_tsquery width_bucket
`
	ofMySQL = `
adddate addtime aes_decrypt aes_encrypt benchmark bin bit_count bit_xor char charset coercibility collation compress connection_id
conv convert_tz crc32 curdate current_user curtime database date date_add date_format date_sub datediff day dayname dayofmonth
dayofweek dayofyear default elt export_set field find_in_set format found_rows from_base64 from_days from_unixtime get_format
greatest group_concat hex hour if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr is_ipv4 is_ipv6 isnull
json_array json_array_append json_array_insert json_arrayagg json_contains json_contains_path json_depth json_extract json_insert
json_keys json_length json_merge_patch json_merge_preserve json_object json_objectagg json_query json_quote json_remove json_replace
json_search json_set json_table json_type json_unquote json_valid json_value last_day lcase locate log10 log2 make_set makedate
maketime microsecond mid minute month monthname oct ord period_add period_diff pow quarter quote rand regexp_instr
regexp_replace regexp_substr row_count schema sec_to_time second session_user sha1 sha2 sleep soundex space std str_to_date strcmp
subdate subtime sysdate system_user time time_format time_to_sec timediff timestamp timestampadd timestampdiff to_base64
to_days to_seconds truncate ucase uncompress unhex unix_timestamp user utc_date utc_time utc_timestamp uuid uuid_short
week weekday weekofyear weight_string year yearweek
`
)
