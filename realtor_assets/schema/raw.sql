-- RAW: what the upstream sent, typed and deduplicated. Idempotent; append-only for the pipeline.

CREATE TABLE IF NOT EXISTS api_request_log (
    request_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    requested_at  timestamptz NOT NULL,
    group_number  integer NOT NULL,
    day           text,
    url           text NOT NULL,
    attempt       integer NOT NULL,
    status        integer,
    seconds       double precision NOT NULL,
    bytes         bigint NOT NULL,
    sha256        text,
    payload_key   text,
    error         text
);
COMMENT ON TABLE api_request_log IS 'Every call to the upstream, failed ones too.';
COMMENT ON COLUMN api_request_log.status IS 'HTTP status; null when no answer came';
COMMENT ON COLUMN api_request_log.seconds IS 'from the call to the last byte';
COMMENT ON COLUMN api_request_log.bytes IS 'bytes of the answer''s body, uncompressed';
COMMENT ON COLUMN api_request_log.sha256 IS 'of the body as received';
COMMENT ON COLUMN api_request_log.payload_key IS 'where the body was landed in the object store';
COMMENT ON COLUMN api_request_log.error IS 'why this call gave no batch';

CREATE TABLE IF NOT EXISTS ingestion_summary (
    payload_key         text PRIMARY KEY,
    state               text NOT NULL CHECK (state IN ('loaded', 'refused')),
    group_number        integer,
    batch_number        integer,
    received            bigint NOT NULL,
    inserted_train      bigint NOT NULL,
    inserted_validation bigint NOT NULL,
    inserted_test       bigint NOT NULL,
    duplicate           bigint NOT NULL,
    quarantined         bigint NOT NULL,
    error               text,
    seconds             double precision NOT NULL,
    loaded_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT every_row_is_somewhere CHECK (
        received = inserted_train + inserted_validation + inserted_test + duplicate + quarantined
    )
);
COMMENT ON TABLE ingestion_summary IS 'One row per landed payload: where each of its rows went.';
COMMENT ON COLUMN ingestion_summary.state IS 'refused: the payload as a whole could not be read';
COMMENT ON COLUMN ingestion_summary.duplicate IS 'rows already in RAW, or twice in this batch';
COMMENT ON COLUMN ingestion_summary.quarantined IS 'rows that break the contract';

CREATE TABLE IF NOT EXISTS raw_quarantine (
    payload_key   text NOT NULL REFERENCES ingestion_summary DEFERRABLE INITIALLY DEFERRED,
    batch_number  integer NOT NULL,
    position      bigint NOT NULL,
    column_name   text NOT NULL,
    rule          text NOT NULL,
    value         text,
    record        jsonb NOT NULL,
    PRIMARY KEY (payload_key, position)
);
COMMENT ON TABLE raw_quarantine IS 'Rows that break the listing contract, kept with the reason.';
COMMENT ON COLUMN raw_quarantine.position IS 'of the row in its payload, from 0';
COMMENT ON COLUMN raw_quarantine.rule IS 'the rules that it breaks';
COMMENT ON COLUMN raw_quarantine.record IS 'the row as received';

CREATE TABLE IF NOT EXISTS raw_train (
    row_hash       uuid PRIMARY KEY,
    batch_number   integer NOT NULL,
    brokered_by    bigint,
    status         text NOT NULL,
    price          double precision NOT NULL,
    bed            integer,
    bath           integer,
    acre_lot       double precision,
    street         bigint,
    city           text,
    state          text NOT NULL,
    zip_code       text,
    house_size     integer,
    prev_sold_date date,
    loaded_at      timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS raw_validation (LIKE raw_train INCLUDING ALL);
CREATE TABLE IF NOT EXISTS raw_test (LIKE raw_train INCLUDING ALL);
DO $$
DECLARE split text;
BEGIN
    FOREACH split IN ARRAY ARRAY['train', 'validation', 'test'] LOOP
        EXECUTE format('COMMENT ON TABLE raw_%s IS %L', split,
            'Listings of the ' || split || ' split, typed, one row per distinct record.');
        EXECUTE format('COMMENT ON COLUMN raw_%s.row_hash IS %L', split, 'MD5 of the typed record''s text');
        EXECUTE format('COMMENT ON COLUMN raw_%s.batch_number IS %L', split, 'the upstream batch that first brought it');
        EXECUTE format('COMMENT ON COLUMN raw_%s.brokered_by IS %L', split, 'broker or agency, an encoded id');
        EXECUTE format('COMMENT ON COLUMN raw_%s.status IS %L', split, 'for_sale, sold or ready_to_build');
        EXECUTE format('COMMENT ON COLUMN raw_%s.price IS %L', split, 'asking price, or the price sold at (dollars)');
        EXECUTE format('COMMENT ON COLUMN raw_%s.acre_lot IS %L', split, 'lot size (acres)');
        EXECUTE format('COMMENT ON COLUMN raw_%s.street IS %L', split, 'street address, an encoded id');
        EXECUTE format('COMMENT ON COLUMN raw_%s.zip_code IS %L', split, 'five digits, leading zero kept');
        EXECUTE format('COMMENT ON COLUMN raw_%s.house_size IS %L', split, 'living area (square feet)');
        EXECUTE format('COMMENT ON COLUMN raw_%s.prev_sold_date IS %L', split,
            'sold rows: the sale itself; others: the previous sale');
    END LOOP;
END $$;

CREATE TABLE IF NOT EXISTS inference_log (
    request_id    uuid PRIMARY KEY,
    requested_at  timestamptz NOT NULL,
    endpoint      text NOT NULL,
    model_version text NOT NULL,
    property      jsonb NOT NULL,
    price         double precision NOT NULL,
    low           double precision NOT NULL,
    high          double precision NOT NULL
);
COMMENT ON TABLE inference_log IS 'Valuations the service gave, written by the service.';
