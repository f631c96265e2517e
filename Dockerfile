# Interlock on Airflow's own image: the package is pip-installed, so the folder plugins/ stays empty.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11
FROM ${AIRFLOW_IMAGE}

COPY requirements.txt /tmp/interlock/
RUN pip install --no-cache-dir -r /tmp/interlock/requirements.txt

COPY pyproject.toml README.md LICENSE /tmp/interlock/
COPY plugins/interlock /tmp/interlock/plugins/interlock
RUN pip install --no-cache-dir --no-deps /tmp/interlock

COPY --chown=airflow:0 dags /opt/airflow/dags
COPY --chown=airflow:0 include /opt/airflow/include
COPY --chown=airflow:0 airflow_settings.yaml /opt/airflow/

# The contracts of a workflow are imported as include.<workflow>.contracts.
ENV PYTHONPATH=/opt/airflow \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL=1
