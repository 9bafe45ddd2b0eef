-- May be run as often as one likes.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'www-data') THEN
        CREATE ROLE "www-data" LOGIN;
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, text text NOT NULL);
GRANT SELECT, INSERT ON notes TO "www-data";
GRANT USAGE ON SEQUENCE notes_id_seq TO "www-data";
