package runfile

// Template is a key value with placeholders: {user_id}, {family}, {pitc_timestamp},
// {pitc_timestamp_ms}, {pitc_date}.
type Template struct{}
