"""
Makes ``orders.csv`` and ``receipts.csv`` of AdventureWorks' purchasing tables: ``python prepare.py FOLDER``.

Nothing is invented: lines are joined with their order, vendor and the vendor's standard price. Two lines that were
ordered eight weeks after all others are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas

HEADER = "po revision status employee vendor_id ship_method ordered shipped subtotal tax freight total modified"
DETAIL = "po line due quantity product price line_total received rejected stocked modified"
VENDOR_PRODUCT = "product vendor_id lead standard_price last_cost last_receipt min max on_order unit modified"
STATUS = {1: "pending", 2: "approved", 3: "rejected", 4: "complete"}
END = "2014-08-03"


def table(folder: Path, name: str, columns: str) -> pandas.DataFrame:
    return pandas.read_csv(folder / f"{name}.csv", sep="\t", header=None, names=columns.split(), dtype=str)


def day(texts: pandas.Series) -> pandas.Series:
    return texts.str[:10]


def main(folder: Path, target: Path) -> None:
    vendors = pandas.read_csv(folder / "Vendor.csv", sep="\t", header=None, dtype=str)
    vendors = vendors[[0, 2]].set_axis(["vendor_id", "vendor"], axis=1)
    prices = table(folder, "ProductVendor", VENDOR_PRODUCT)[["product", "vendor_id", "standard_price"]]
    lines = (
        table(folder, "PurchaseOrderDetail", DETAIL)
        .merge(table(folder, "PurchaseOrderHeader", HEADER), on="po", suffixes=("", "_order"))
        .merge(vendors, on="vendor_id")
        .merge(prices, on=["product", "vendor_id"], how="left")
    )
    lines["ordered_on"], lines["due_on"], lines["received_on"] = (
        day(lines["ordered"]),
        day(lines["due"]),
        day(lines["modified"]),
    )
    lines["status"] = lines["status"].astype(int).map(STATUS)
    lines["currency"] = "USD"
    for column in ("received", "rejected"):
        lines[column] = lines[column].astype(float).astype(int)
    lines = lines[lines["ordered_on"] <= END].sort_values("line", key=lambda column: column.astype(int))
    lines[
        [
            "line",
            "po",
            "ordered_on",
            "vendor",
            "product",
            "status",
            "quantity",
            "price",
            "standard_price",
            "line_total",
            "currency",
        ]
    ].to_csv(target / "orders.csv", index=False)
    lines[["line", "po", "due_on", "received_on", "vendor", "product", "quantity", "received", "rejected"]].to_csv(
        target / "receipts.csv", index=False
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)
