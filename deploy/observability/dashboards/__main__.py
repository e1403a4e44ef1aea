"""Write every dashboard as JSON."""

from deploy.observability.dashboards.files import FOLDER, documents

if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text)
        print(f"deploy/observability/grafana/dashboards/{name}")
