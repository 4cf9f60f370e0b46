// Names the fields and buttons that Swagger UI leaves without a name, and lets the keyboard scroll code.
const describeControls = () => {
    const describe = (css, name) => {
        for (const element of document.querySelectorAll(`#ui :is(${css}):not([aria-label])`)) {
            element.setAttribute('aria-label', name(element))
        }
    }
    describe('input, select, textarea', field =>
        field.closest('.parameters')?.querySelector('.parameter__name')?.firstChild.textContent ?? 'Request body')
    describe('.copy-to-clipboard > button', () => 'Copy')
    describe('.close-modal', () => 'Close')
    document.querySelector('#ui .auth.authorize[aria-label]')?.removeAttribute('aria-label')
    for (const code of document.querySelectorAll('#ui pre:not([tabindex])')) {
        code.tabIndex = 0
    }
}

const spec = {document}

const plugin = {
    statePlugins: {
        spec: {
            wrapActions: {
                // Swagger UI would write the document as JSON and read that with its YAML parser, which blocks the page.
                parseToJson: (_, { specActions }) => () => specActions.updateJsonSpec(spec),
            },
        },
    },
    wrapComponents: {
        // A link inside of the button that opens an operation would be a control inside of a control.
        DeepLink: (_, { React }) => ({ text }) => React.createElement('span', null, text),
        // An empty field clears a member of a profile, so it is sent only if the user asks for it.
        ParameterIncludeEmpty: (Original, { React }) => props =>
            React.createElement(Original, {
                ...props,
                isIncludedOptions: { ...props.isIncludedOptions, defaultValue: false },
            }),
    },
    // Leaves a field of a form empty if the document has no example of it. Swagger UI would fill it with `string`, 0 or true.
    // Only its forms ask for a sample with the type `false`.
    afterLoad() {
        const sample = this.fn.getSampleSchema
        this.fn.getSampleSchema = (schema, type, ...rest) =>
            type === false && !schema.has('example') ? '' : sample(schema, type, ...rest)
    },
}

const start = () => {
    const ui = document.getElementById('ui')
    new MutationObserver(describeControls).observe(ui, { childList: true, subtree: true })
    SwaggerUIBundle({
        domNode: ui,
        spec,
        deepLinking: true,
        // A phone shows the tags, a larger screen the operations, too.
        docExpansion: matchMedia('(max-width: 600px)').matches ? 'none' : 'list',
        defaultModelsExpandDepth: 0,
        persistAuthorization: true,
        plugins: [plugin],
    })
}

// The bundle's script is deferred: it has run before this event. A task of its own lets the page react in between.
addEventListener('DOMContentLoaded', () => setTimeout(start))
