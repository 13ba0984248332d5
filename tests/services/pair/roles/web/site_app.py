"""A WSGI site without a framework: says who it is; /fail raises, /gone ends the process."""

import json
import os


class App:
    def wsgi(self, environ, start_response):
        if environ["PATH_INFO"] == "/fail":
            raise ValueError("my own fault")
        if environ["PATH_INFO"] == "/gone":
            os._exit(7)
        import extra

        about = {"instance": os.environ["RoleInstanceID"], "colour": os.environ["COLOUR"], "extra": extra.WORD}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(about).encode()]


def make():
    import extra  # noqa: F401 - each process of the site has it from the beginning

    print("the site is made")
    return App()
