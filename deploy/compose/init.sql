-- Creates four databases and their roles, as realtor_local/postgres does. Each role can connect only to its
-- own database. Safe to run again: it then sets the passwords from the environment.
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;

-- The administrator of a managed PostgreSQL is not a superuser. It can create databases only for roles that it is a
-- member of. PostgreSQL 16 or newer.
SET createrole_self_grant TO 'set, inherit';

\getenv realtor_raw_owner RAW_OWNER_DB_PASSWORD
\getenv realtor_raw RAW_DB_PASSWORD
\getenv realtor_service SERVICE_DB_PASSWORD
\getenv realtor_clean CLEAN_DB_PASSWORD
\getenv dagster DAGSTER_DB_PASSWORD
\getenv mlflow MLFLOW_DB_PASSWORD
\getenv exporter EXPORTER_DB_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', role)
FROM unnest(ARRAY['realtor_raw_owner', 'realtor_raw', 'realtor_service', 'realtor_clean', 'dagster',
                  'mlflow', 'exporter']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec

ALTER ROLE realtor_raw_owner PASSWORD :'realtor_raw_owner';
ALTER ROLE realtor_raw PASSWORD :'realtor_raw';
ALTER ROLE realtor_service PASSWORD :'realtor_service';
ALTER ROLE realtor_clean PASSWORD :'realtor_clean';
ALTER ROLE dagster PASSWORD :'dagster';
ALTER ROLE mlflow PASSWORD :'mlflow';
ALTER ROLE exporter PASSWORD :'exporter';
GRANT pg_monitor TO exporter;
GRANT CONNECT ON DATABASE postgres TO exporter;

SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
FROM (VALUES ('realtor_raw', 'realtor_raw_owner'), ('realtor_clean', 'realtor_clean'),
             ('dagster', 'dagster'), ('mlflow', 'mlflow')) AS wanted (name, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec

REVOKE CONNECT ON DATABASE realtor_raw, realtor_clean, dagster, mlflow FROM PUBLIC;
GRANT CONNECT ON DATABASE realtor_raw TO realtor_raw_owner, realtor_raw, realtor_service;
GRANT CONNECT ON DATABASE realtor_clean TO realtor_clean;
GRANT CONNECT ON DATABASE dagster TO dagster;
GRANT CONNECT ON DATABASE mlflow TO mlflow;
