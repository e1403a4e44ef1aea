-- Four databases and a role for each program; each role may connect to its own database only.
-- Run once, by the image, in an empty data folder. As realtor_local/postgres.py does it.
\set ON_ERROR_STOP on
\getenv raw_owner REALTOR_RAW_OWNER_PASSWORD
\getenv raw REALTOR_RAW_PASSWORD
\getenv service REALTOR_SERVICE_PASSWORD
\getenv clean REALTOR_CLEAN_PASSWORD
\getenv dagster DAGSTER_PASSWORD
\getenv mlflow MLFLOW_PASSWORD

CREATE ROLE realtor_raw_owner LOGIN PASSWORD :'raw_owner';
CREATE ROLE realtor_raw LOGIN PASSWORD :'raw';
CREATE ROLE realtor_service LOGIN PASSWORD :'service';
CREATE ROLE realtor_clean LOGIN PASSWORD :'clean';
CREATE ROLE dagster LOGIN PASSWORD :'dagster';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';

CREATE DATABASE realtor_raw OWNER realtor_raw_owner;
CREATE DATABASE realtor_clean OWNER realtor_clean;
CREATE DATABASE dagster OWNER dagster;
CREATE DATABASE mlflow OWNER mlflow;

REVOKE CONNECT ON DATABASE postgres, template1, realtor_raw, realtor_clean, dagster, mlflow FROM PUBLIC;
GRANT CONNECT ON DATABASE realtor_raw TO realtor_raw_owner, realtor_raw, realtor_service;
GRANT CONNECT ON DATABASE realtor_clean TO realtor_clean;
GRANT CONNECT ON DATABASE dagster TO dagster;
GRANT CONNECT ON DATABASE mlflow TO mlflow;
