"""A double of netsh.exe: the rules of the firewall and the certificates of http.sys, as they are added and deleted."""

import machine


def main(words: list[str]) -> int:
    """Do what the words ask for."""
    lowered = [word.lower() for word in words]
    options = dict(word.split("=", 1) for word in words if "=" in word)
    for place, act in CONTEXTS.items():
        if " ".join(lowered).startswith(place):
            with machine.locked():
                return act(options)
    return 0


def add_rule(options: dict[str, str]) -> int:
    """Add a rule; there may be several of one name."""
    rules = machine.load("rules", [])
    machine.save("rules", [*rules, options])
    print("Ok.")
    return 0


def delete_rule(options: dict[str, str]) -> int:
    """Delete the rules of a name."""
    rules = machine.load("rules", [])
    kept = [rule for rule in rules if rule["name"].lower() != options["name"].lower()]
    machine.save("rules", kept)
    return said(len(rules) - len(kept))


def show_rule(options: dict[str, str]) -> int:
    """Show the rules of a name."""
    named = options["name"].lower()
    found = [rule for rule in machine.load("rules", []) if named in {"all", rule["name"].lower()}]
    for rule in found:
        print("\n".join(f"{name}: {value}" for name, value in rule.items()))
    return said(len(found))


def said(count: int) -> int:
    """Say how many rules it was about."""
    print(f"{count} rule(s)." if count else "No rules match the specified criteria.")
    return 0 if count else 1


def add_certificate(options: dict[str, str]) -> int:
    """Bind a certificate to an address that has none."""
    bound, key = machine.load("certificates", {}), of(options)
    if key in bound:
        print("SSL Certificate add failed, Error: 183")
        return 1
    machine.save("certificates", {**bound, key: options})
    print("SSL Certificate successfully added")
    return 0


def delete_certificate(options: dict[str, str]) -> int:
    """Free an address of its certificate."""
    bound, key = machine.load("certificates", {}), of(options)
    if bound.pop(key, None) is None:
        print("SSL Certificate deletion failed, Error: 2")
        return 1
    machine.save("certificates", bound)
    print("SSL Certificate successfully deleted")
    return 0


def show_certificate(options: dict[str, str]) -> int:
    """Show the certificates, or that of one address."""
    key = of(options)
    found = {place: one for place, one in machine.load("certificates", {}).items() if key in {"", place}}
    for place, one in found.items():
        print(f"    IP:port                      : {place}")
        print(f"    Certificate Hash             : {one.get('certhash', '').lower()}")
        print(f"    Application ID               : {one.get('appid', '')}")
        print(f"    Certificate Store Name       : {one.get('certstorename', 'My')}\n")
    return 0 if found or not key else 1


def of(options: dict[str, str]) -> str:
    """The address that is meant."""
    return options.get("ipport") or options.get("hostnameport") or ""


CONTEXTS = {
    "advfirewall firewall add rule": add_rule,
    "advfirewall firewall delete rule": delete_rule,
    "advfirewall firewall show rule": show_rule,
    "http add sslcert": add_certificate,
    "http delete sslcert": delete_certificate,
    "http show sslcert": show_certificate,
}
