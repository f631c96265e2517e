"""
Who is asking, and whether they may: Airflow's own login, in one place.

A plugin's app has no authentication of its own, so the whole app depends on :func:`current_person`. There is no CSRF
token in Airflow, so what changes something is refused when a browser says that it comes from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, HTTPException, Request

from interlock.domain.approvals.access import Identity


@dataclass(frozen=True)
class Person:
    """The person that Airflow says is asking."""

    id: str
    user: Any
    """Airflow's own object, for its permissions."""

    @property
    def identity(self) -> Identity:
        """Return who it is, with their roles: one name with the simple auth manager, objects with FAB's."""
        role = getattr(self.user, "role", None)
        roles = [role] if role else [getattr(r, "name", str(r)) for r in getattr(self.user, "roles", None) or ()]
        return Identity(self.id, str(self.user.get_name()), tuple(str(getattr(r, "value", r)) for r in roles))


def current_person(user: GetUserDep) -> Person:
    """Return who is asking; Airflow refuses a request without a login before."""
    return Person(str(user.get_id()), user)


def acting_person(request: Request, person: Annotated[Person, Depends(current_person)]) -> Person:
    """
    Return who is acting.

    :raises HTTPException: 403, the request comes from another site, or Airflow makes everybody one anonymous admin, who
        can sign nothing off.
    """
    site = request.headers.get("sec-fetch-site")
    if site and site not in ("same-origin", "none"):
        raise HTTPException(403, "this request comes from another site")
    origin = request.headers.get("origin")
    if origin and origin.split("://", 1)[-1] != request.headers.get("host"):
        raise HTTPException(403, "this request comes from another site")
    if person.id == "Anonymous":
        raise HTTPException(
            403,
            "this Airflow runs with simple_auth_manager_all_admins: everybody is 'Anonymous', and nobody can sign "
            "anything off. Turn it off and give people users",
        )
    return person


def may(person: Person, method: str, dag_id: str | None, *, gate: bool = False) -> bool:
    """Return whether *person* may do *method* with Dag *dag_id* (None: Dags as such), or with its human tasks."""
    return bool(
        get_auth_manager().is_authorized_dag(
            method=method,
            user=person.user,
            access_entity=DagAccessEntity.HITL_DETAIL if gate else None,
            details=DagDetails(id=dag_id) if dag_id else None,
        )
    )


def seen_dags(person: Person, dag_ids: Iterable[str]) -> frozenset[str]:
    """Return those of *dag_ids* that Airflow lets *person* see."""
    return frozenset(get_auth_manager().filter_authorized_dag_ids(dag_ids=set(dag_ids), user=person.user))


Reader = Annotated[Person, Depends(current_person)]
Actor = Annotated[Person, Depends(acting_person)]
